"""The simulator's chain itself: accounts, a pool, blocks, and forks of any depth. One thread at a time.

Every block keeps the state behind it, so that the chain can go back to any of them. Hashes are ``0x`` + 64 digits,
addresses are checksummed, amounts are in wei.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from eth.vm.forks.prague.transactions import PragueTransactionBuilder
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from node.chain.signer import contract_address
from tests.simulator.programs import Event, Program, Reverted, created

BLOCK_GAS = 30_000_000
TRANSACTION_GAS_MAX = 16_777_216
CALL_GAS = 5_000
"""What a call uses beside its bytes; nobody reads more into it."""
BUMP_PERCENT = 110
GENESIS_SECONDS = 1_700_000_000


class Market(StrEnum):
    """How gas is paid for."""

    FEES = "fees"
    """A base fee and tips (EIP-1559)."""
    LEGACY = "legacy"
    """A gas price alone: blocks have no base fee, and typed transactions are refused."""
    FREE = "free"
    """A base fee of nothing, as private networks have."""


@dataclass(frozen=True, slots=True)
class Tx:
    """A transaction. ``signed`` is what the library made of its bytes."""

    hash: str
    sender: str
    to: str | None
    nonce: int
    gas: int
    fee: int
    tip: int
    value: int
    data: bytes
    type: int
    chain_id: int | None
    intrinsic_gas: int
    signed: Any = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a transaction in its block."""

    status: bool
    gas_used: int
    logs: tuple[tuple[str, Event], ...]
    made: str | None
    output: bytes


@dataclass(slots=True)
class State:
    nonces: dict[str, int] = field(default_factory=dict)
    balances: dict[str, int] = field(default_factory=dict)
    programs: dict[str, Program] = field(default_factory=dict)

    def copy(self) -> State:
        programs = {address: program.copy() for address, program in self.programs.items()}
        return State(dict(self.nonces), dict(self.balances), programs)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    number: int
    hash: str
    parent_hash: str
    timestamp: int
    base_fee: int
    txs: tuple[Tx, ...]
    outcomes: tuple[Outcome, ...]
    state: State = field(repr=False)


class Unfit(Exception):
    """A transaction isn't taken. ``why`` names the wording, ``values`` are what it tells."""

    def __init__(self, why: str, **values: object) -> None:
        super().__init__(why)
        self.why = why
        self.values = values


class Ledger:
    """``queues_gaps``: whether the pool keeps what comes too early. ``held`` are hashes that no block takes."""

    def __init__(self, chain_id: int, market: Market, *, queues_gaps: bool, waits_for_base_fee: bool) -> None:
        self.chain_id = chain_id
        self.market = market
        self.base_fee = 10**9 if market is Market.FEES else 0
        self.gas_price_min = 0 if market is Market.FREE else 10**6
        self.queues_gaps = queues_gaps
        self.waits_for_base_fee = waits_for_base_fee
        self.pool: dict[tuple[str, int], Tx] = {}
        self.held: set[str] = set()
        self.places: dict[str, list[tuple[Block, int]]] = {}
        self.blocks: dict[str, Block] = {}
        self._made = 0
        genesis = self._block(None, [], [], State())
        self.canonical: list[Block] = [genesis]

    # --- reading

    @property
    def head(self) -> Block:
        return self.canonical[-1]

    def is_canonical(self, block: Block) -> bool:
        return block.number < len(self.canonical) and self.canonical[block.number] is block

    def place(self, tx_hash: str) -> tuple[Block, int] | None:
        """The canonical block that holds a transaction, and where in it."""
        return next((place for place in self.places.get(tx_hash, []) if self.is_canonical(place[0])), None)

    def waiting(self, tx_hash: str) -> Tx | None:
        return next((tx for tx in self.pool.values() if tx.hash == tx_hash), None)

    # --- the pool

    def fund(self, account: str, wei: int) -> None:
        """Give wei to an account, at the head and on every branch, so that no fork takes it back."""
        for block in self.blocks.values():
            block.state.balances[to_checksum_address(account)] = wei

    def add(self, raw: bytes) -> Tx:
        """Put a transaction into the pool, or Unfit."""
        tx = self.decoded(raw)
        state = self.head.state
        nonce = state.nonces.get(tx.sender, 0)
        known = self.pool.get((tx.sender, tx.nonce))
        if known is not None and known.hash == tx.hash:
            raise Unfit("known", hash=tx.hash)
        if tx.nonce < nonce:
            raise Unfit("nonce_low", next=nonce, nonce=tx.nonce)
        cost, balance = tx.gas * tx.fee + tx.value, state.balances.get(tx.sender, 0)
        if balance < cost:
            raise Unfit("funds", balance=balance, cost=cost)
        if tx.tip > tx.fee:
            raise Unfit("tip", tip=tx.tip, fee=tx.fee)
        if self.market is Market.LEGACY and tx.fee < self.gas_price_min:
            raise Unfit("underpriced", fee=tx.fee, wanted=self.gas_price_min)
        if tx.fee < self.base_fee and self.market is Market.FEES and not self.waits_for_base_fee:
            raise Unfit("underpriced", fee=tx.fee, wanted=self.base_fee)
        if known is not None and not (_beats(tx.fee, known.fee) and _beats(tx.tip, known.tip)):
            raise Unfit("replacement", wanted=known.fee * BUMP_PERCENT // 100 + 1, nonce=tx.nonce)
        if not self.queues_gaps:
            while (tx.sender, nonce) in self.pool:
                nonce += 1
            if tx.nonce > nonce:
                raise Unfit("nonce_high", next=nonce, nonce=tx.nonce)
        self.pool[tx.sender, tx.nonce] = tx
        return tx

    def drop(self, tx_hash: str) -> bool:
        """Forget a waiting transaction; answers whether it was there."""
        found = self.waiting(tx_hash)
        if found is not None:
            del self.pool[found.sender, found.nonce]
        return found is not None

    # --- blocks

    def mine(self, *, empty: bool = False) -> Block:
        """One block on the head, of what the pool has and the block's gas allows; the highest tip first."""
        state, txs, outcomes, gas = self.head.state.copy(), [], [], 0
        while not empty:
            ready = [tx for tx in self.pool.values() if self._is_ready(tx, state) and gas + tx.gas <= BLOCK_GAS]
            if not ready:
                break
            tx = max(ready, key=lambda each: min(each.tip, each.fee - self.base_fee))
            del self.pool[tx.sender, tx.nonce]
            outcome = self._run(tx, state)
            txs.append(tx)
            outcomes.append(outcome)
            gas += outcome.gas_used
        block = self._block(self.head, txs, outcomes, state)
        self.canonical.append(block)
        self._forget_used()
        return block

    def fork(self, depth: int, *, vanish: Callable[[Tx], bool] = lambda _: False, refill: bool = True) -> None:
        """Replace the newest ``depth`` blocks by one more than that.

        What they held goes back to the pool, except what ``vanish`` says; with ``refill`` the first of the new
        blocks takes what it can, else all are empty.
        """
        gone = self._take_out(len(self.canonical) - depth)
        self._give_back([tx for tx in gone if not vanish(tx)])
        for number in range(depth + 1):
            self.mine(empty=number > 0 or not refill)

    def adopt(self, head: Block) -> None:
        """Follow another branch, whose newest block is ``head``; what only the left one held goes back to the pool."""
        branch = [head]
        while not self.is_canonical(self.blocks[branch[-1].parent_hash]):
            branch.append(self.blocks[branch[-1].parent_hash])
        gone = self._take_out(branch[-1].number)
        self.canonical += reversed(branch)
        self._give_back(gone)
        self._forget_used()

    def _take_out(self, number: int) -> list[Tx]:
        """Cut the chain before a height; answers what its blocks held."""
        cut = self.canonical[number:]
        del self.canonical[number:]
        return [tx for block in cut for tx in block.txs]

    def _give_back(self, txs: Sequence[Tx]) -> None:
        for tx in txs:
            self.pool.setdefault((tx.sender, tx.nonce), tx)

    def _forget_used(self) -> None:
        nonces = self.head.state.nonces
        self.pool = {key: tx for key, tx in self.pool.items() if tx.nonce >= nonces.get(tx.sender, 0)}

    def _is_ready(self, tx: Tx, state: State) -> bool:
        affordable = state.balances.get(tx.sender, 0) >= tx.gas * tx.fee + tx.value
        due = tx.nonce == state.nonces.get(tx.sender, 0) and tx.hash not in self.held
        return due and affordable and tx.fee >= self.base_fee

    def _run(self, tx: Tx, state: State) -> Outcome:
        state.nonces[tx.sender] = tx.nonce + 1
        gas = min(tx.gas, tx.intrinsic_gas + CALL_GAS)
        paid = gas * min(tx.fee, self.base_fee + tx.tip)
        state.balances[tx.sender] -= paid
        made, output, events = None, b"", list[Event]()
        try:
            if tx.to is None:
                made = contract_address(tx.sender, tx.nonce)
                state.programs[made] = created(tx.data, self.chain_id, made)
            elif tx.to in state.programs:
                output, events = state.programs[tx.to].call(tx.sender, tx.data)
        except Reverted as reverted:
            return Outcome(False, gas, (), made, reverted.data)
        state.balances[tx.sender] -= tx.value
        if tx.to is not None:
            state.balances[tx.to] = state.balances.get(tx.to, 0) + tx.value
        return Outcome(True, gas, tuple((tx.to or "", event) for event in events), made, output)

    def _block(self, parent: Block | None, txs: Sequence[Tx], outcomes: Sequence[Outcome], state: State) -> Block:
        self._made += 1
        number = 0 if parent is None else parent.number + 1
        parent_hash = "0x" + bytes(32).hex() if parent is None else parent.hash
        # Two blocks at one height differ even if they hold the same: by how many were made before.
        digest = keccak(f"{self.chain_id} {self._made} {parent_hash}".encode()).hex()
        timestamp = GENESIS_SECONDS + number
        block = Block(number, "0x" + digest, parent_hash, timestamp, self.base_fee, tuple(txs), tuple(outcomes), state)
        self.blocks[block.hash] = block
        for index, tx in enumerate(txs):
            self.places.setdefault(tx.hash, []).append((block, index))
        return block

    def decoded(self, raw: bytes) -> Tx:
        if raw[:1] in (b"\x03", b"\x04") or (self.market is Market.LEGACY and raw[:1] in (b"\x01", b"\x02")):
            raise Unfit("type")
        try:
            signed = PragueTransactionBuilder.decode(raw)
            if signed.encode() != raw:
                raise Unfit("rubbish")
            signed.validate()
            sender, to = to_checksum_address(signed.sender), signed.to
            chain_id = signed.chain_id
        except Exception as fault:  # of a dozen kinds, on bytes that are no transaction
            raise Unfit("rubbish") from fault
        if chain_id != self.chain_id:
            raise Unfit("chain_id", have=chain_id, want=self.chain_id)
        tx = Tx(
            "0x" + signed.hash.hex(),
            sender,
            to_checksum_address(to) if to else None,
            signed.nonce,
            signed.gas,
            signed.max_fee_per_gas,
            signed.max_priority_fee_per_gas,
            signed.value,
            bytes(signed.data),
            signed.type_id or 0,
            chain_id,
            signed.intrinsic_gas,
            signed,
        )
        if tx.gas > TRANSACTION_GAS_MAX:
            raise Unfit("gas_high", cap=TRANSACTION_GAS_MAX, gas=tx.gas)
        if tx.gas < tx.intrinsic_gas:
            raise Unfit("gas_low", gas=tx.gas, needed=tx.intrinsic_gas)
        return tx


def _beats(new: int, old: int) -> bool:
    return new > old and new * 100 >= old * BUMP_PERCENT
