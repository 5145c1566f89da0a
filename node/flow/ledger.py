"""The node's place on the chain: which chain, which contract, which signers, and the next nonces.

The contract is deployed by the first transaction of the outbox. Its address follows from signer and nonce,
so it is known, and remembered, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from node.chain import contract, signer
from node.chain.fees import Fees
from node.chain.gas import DEPLOY_GAS, GAS_MAX
from node.chain.rpc import Chain
from node.chain.signer import SignedTransaction
from node.clock import Clock
from node.domain.records import UNMINED, TxKind
from node.errors import Reason, SetupError, Status, VTraceError
from node.flow.identity import Identity
from node.flow.lanes import Lanes, Place
from node.flow.spending import Spending
from node.store import outbox, progress
from node.store.db import Store, claim

RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Stored:
    """A transaction that stands in the outbox: its row, and the hash it will be known by."""

    outbox_id: int
    tx_hash: str


class IndexBehind(SetupError):
    """The chain has, or is about to have, transactions of a signer that this index does not know."""

    def __init__(self, unknown: Mapping[str, int]) -> None:
        said = ", ".join(f"{total} of signer {lane}" for lane, total in unknown.items())
        super().__init__(
            f"the chain has transactions that this index does not know ({said}): it is an older copy, or the key "
            "signed elsewhere too"
        )
        self.unknown = dict(unknown)
        self.lanes = tuple(unknown)


class Ledger:
    """Signs the node's transactions into the outbox. ``enrol`` runs inside ``Store.write()``.

    ``fees`` are what a transaction offers now, ``waiting`` how many no block holds yet. Who leads finds both out,
    the Follower of every other process learns them from the index. ``spending`` is what lanes paid.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        chain_id: int,
        address: str,
        lanes: Lanes,
        first_nonces: dict[str, int],
        gas_max: int,
        fees: Fees,
        clock: Clock,
        backlog_max: int,
    ) -> None:
        self.identity = identity
        self.chain_id = chain_id
        self.contract = address
        self.lanes = lanes
        self.gas_max = gas_max
        self.fees = fees
        self.waiting = outbox.count(UNMINED)
        self._first_nonces = first_nonces
        self.clock = clock
        self._backlog_max = backlog_max
        self.spending = Spending()

    def enrol(self, kind: TxKind, data: bytes, gas: int, stands_on: Callable[[], Collection[int]] = tuple) -> Stored:
        """Sign a call of the contract (its deployment; an anchor, to the lane itself) at a lane's next nonce; store it.

        ``stands_on`` tells the transactions that must reach the chain before this one; it is asked only where the
        order of nonces does not see to that.
        """
        place = self._place(kind, stands_on)
        nonce = self.next_nonce(place.signer)
        signed = self.sign(place.signer, nonce, data, gas, kind)
        row = outbox.add(
            signer=place.signer,
            nonce=nonce,
            kind=kind,
            raw=signed.raw,
            tx_hash=signed.hash,
            now=self.clock(),
            waits_for=place.waits_for,
        )
        self.waiting += 1
        return Stored(row, signed.hash)

    def next_nonce(self, lane: str) -> int:
        """The nonce of a lane's next transaction."""
        stored = outbox.next_nonce(lane)
        return self._first_nonces[lane] if stored is None else stored

    def sign(self, lane: str, nonce: int, data: bytes, gas: int, kind: TxKind = TxKind.CIRC) -> SignedTransaction:
        """A transaction of a kind, signed at the fees of now: to the contract, unless it makes that or is an anchor.

        Nothing is stored.
        """
        to = {TxKind.DEPLOY: None, TxKind.ANCHOR: lane}.get(kind, self.contract)
        return signer.sign_transaction(
            self.lanes.key(lane),
            chain_id=self.chain_id,
            nonce=nonce,
            to=to,
            data=data,
            gas=gas,
            fees=self.fees,
        )

    def _place(self, kind: TxKind, stands_on: Callable[[], Collection[int]]) -> Place:
        if self.lanes.is_one:
            return Place(self.lanes.registrar)
        if kind is TxKind.CIRC:
            return self.lanes.place(stands_on())
        return self.lanes.place_of_registrar(stands_on())

    @property
    def most_to_pay(self) -> int:
        """The wei that the largest transaction may cost now."""
        return self.gas_max * self.fees.max_fee_per_gas

    def low(self, balances: Mapping[str, int]) -> frozenset[str]:
        """The lanes whose wei may not do for another transaction."""
        return frozenset(lane for lane, balance in balances.items() if balance < self.most_to_pay)

    def has_room(self, total: int) -> bool:
        """Whether the backlog takes so many more transactions."""
        return self.waiting + total <= self._backlog_max

    def refuse_if_full(self) -> None:
        """RESOURCE_EXHAUSTED once the backlog limit is reached: the chain has been away for long."""
        if not self.has_room(1):
            raise VTraceError(
                Reason.CREATE_CIRC_FAILED,
                f"{self.waiting} transactions wait for the chain, the limit is {self._backlog_max}: try again later",
                metadata={"backlog": self.waiting, "backlog_max": self._backlog_max},
                status=Status.RESOURCE_EXHAUSTED,
                retry_seconds=RETRY_SECONDS,
            )


def open_ledger(
    store: Store,
    chain: Chain,
    lanes: Lanes,
    clock: Clock,
    *,
    backlog_max: int,
    fee_max: int | None = None,
) -> Ledger:
    """Find, or make, the node's place on ``chain``; SetupError where it can't be had, IndexBehind for an older index.

    ``fee_max`` is the most that a transaction may offer, in wei for a unit of gas.
    """
    address = lanes.registrar
    chain_id, genesis, head = chain.chain_id(), chain.block(0), chain.head()
    if genesis is None:
        raise SetupError(f"chain {chain_id} has no block 0: it is not ready yet, or not an EVM chain")
    claim(store, {"chain_id": str(chain_id), "genesis": genesis.hash, "signer": address})
    known = store.settings()
    fees = chain.fees().at_most(fee_max)
    first_nonces = {lane: chain.transaction_count(lane) for lane in lanes.all}
    unknown = {lane: total for lane, used in first_nonces.items() if (total := _unknown(chain, lane, used)) > 0}
    if unknown:
        raise IndexBehind(unknown)
    is_new = "contract" not in known
    contract_at = signer.contract_address(address, first_nonces[address]) if is_new else known["contract"]
    if is_new:
        need = DEPLOY_GAS * fees.max_fee_per_gas
        if chain.balance(address) < need:
            raise SetupError(
                f"signer {address} can't pay for the contract on chain {chain_id}: send it at least {need} wei "
                "and start again, or name the key of a funded account (--signer-key)"
            )
    else:
        _check_deployed(chain, chain_id, contract_at)
    ledger = Ledger(
        identity=Identity(chain, chain_id=chain_id, genesis=genesis.hash, address=contract_at),
        chain_id=chain_id,
        address=contract_at,
        lanes=lanes,
        first_nonces=first_nonces,
        gas_max=min(GAS_MAX, head.gas_limit // 2),
        fees=fees,
        clock=clock,
        backlog_max=backlog_max,
    )
    with store.write():
        progress.open_lanes(lanes.open)
        if is_new:
            store.remember(chain_id=str(chain_id), genesis=genesis.hash, signer=address, contract=contract_at)
            ledger.enrol(TxKind.DEPLOY, contract.deploy_data(address, address), DEPLOY_GAS)
    return ledger


def _unknown(chain: Chain, address: str, used: int) -> int:
    """How many transactions of a signer the chain has, or has waiting, that this index does not know."""
    taken = max(used, chain.transaction_count(address, "pending"))
    following = outbox.next_nonce(address)  # looked at last, for other processes send meanwhile
    return 0 if following is None else taken - following


def _is_in_place(chain: Chain) -> bool:
    """Whether the chain still has the block of the deployment; else it has forked, and the confirmer follows it."""
    place = outbox.first_block()
    if place is None:
        return False
    (found,) = chain.blocks([place[0]])
    return found is not None and found.hash == place[1]


def _check_deployed(chain: Chain, chain_id: int, address: str) -> None:
    code = chain.code(address)
    if not code and outbox.has_final() and _is_in_place(chain):
        raise SetupError(
            f"chain {chain_id} has lost the contract {address} and all that was recorded: restore the chain's data"
        )
    if code and not contract.code_matches(code, chain_id, address):
        raise SetupError(
            f"the code at {address} is not this version's contract (its hash is {contract.code_hash(code)}): start "
            "the version that made it"
        )
