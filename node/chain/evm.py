"""The embedded chain itself: py-evm's Prague rules, without proof of anything, in one SQLite file.

Where it departs from a public chain, because one signer pays itself and nobody competes:

- a block is made at once from whatever is handed over; there is no pool, nothing waits;
- the timestamp is the wall clock's and may equal the parent's, else many blocks in one second
  would run the chain's clock ahead of real time;
- the block gas limit and the base fee never change;
- a transaction may use at most 16,777,216 gas (EIP-7825), as the public chains of today have it.

Nothing is ever pruned: the state of every block can be asked for.
"""

from __future__ import annotations

import logging
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from eth.abc import BlockAPI, BlockHeaderAPI, ReceiptAPI, SignedTransactionAPI, StateAPI
from eth.chains.base import Chain as PyEvmChain
from eth.constants import POST_MERGE_DIFFICULTY, POST_MERGE_NONCE
from eth.db.atomic import AtomicDB
from eth.exceptions import HeaderNotFound, Revert, TransactionNotFound, VMError
from eth.vm.chain_context import ChainContext
from eth.vm.forks.prague import PragueVM
from eth.vm.spoof import SpoofTransaction
from eth_typing import Address, BlockNumber, Hash32
from eth_utils.address import to_canonical_address, to_checksum_address
from eth_utils.exceptions import ValidationError

from node.chain.ledger_db import LedgerError, LedgerStore, Pending

DEFAULT_CHAIN_ID = 0x5654_7261_6365
"""The letters "VTrace"; within what JavaScript counts exactly."""
BLOCK_GAS_LIMIT = 60_000_000
TRANSACTION_GAS_MAX = 16_777_216
TRANSACTION_BYTES_MAX = 128 * 1024
BASE_FEE_PER_GAS = 7
GENESIS_BALANCE_WEI = 10**27
FILE_FORMAT = "1"
FLOOR_GAS = 21_000
FLOOR_GAS_PER_TOKEN = 10
DECODED_BLOCKS_MAX = 64
RECURSION_MAX = 12_000
"""Twice what calls within TRANSACTION_GAS_MAX need (the 63/64 rule stops them near depth 750)."""

# On import py-evm lifts Python's limit to 100,000 for the whole process, and then a few kilobytes of
# nested JSON from anybody overflow the C stack and end it. From here they are a RecursionError again.
sys.setrecursionlimit(RECURSION_MAX)

log = logging.getLogger(__name__)


class Refused(Exception):
    """A transaction or a call that the rules don't let in; the message is worded as Geth's."""


class CallFailed(Exception):
    """A call that was executed and failed. ``data`` is the revert's, None if it wasn't a revert."""

    def __init__(self, message: str, data: bytes | None) -> None:
        super().__init__(message)
        self.data = data


@dataclass(frozen=True, slots=True)
class BlockBody:
    """A block as it is stored: its header, and transactions and receipts in their order."""

    header: BlockHeaderAPI
    block: BlockAPI
    transactions: tuple[SignedTransactionAPI, ...]
    receipts: tuple[ReceiptAPI, ...]
    first_logs: tuple[int, ...]
    """For each transaction how many logs the block has before its own."""


class LedgerVM(PragueVM):
    """Prague, with a constant base fee and with blocks that may share a second."""

    @classmethod
    def validate_header(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
        if parent_header is not None and header.timestamp == parent_header.timestamp:
            header = header.copy(timestamp=parent_header.timestamp + 1)
        super().validate_header(header, parent_header)

    @classmethod
    def validate_gas(cls, header: BlockHeaderAPI, parent_header: BlockHeaderAPI) -> None:
        if header.gas_limit != parent_header.gas_limit:
            raise ValidationError(f"gas limit is {header.gas_limit}, want {parent_header.gas_limit}")
        if header.base_fee_per_gas != parent_header.base_fee_per_gas:
            raise ValidationError(f"base fee is {header.base_fee_per_gas}, want {parent_header.base_fee_per_gas}")


class EvmLedger:
    """A chain in a file. Any thread may read; writers wait for one another.

    ``funded`` is the account that owns everything at genesis. Raises LedgerError if the file is
    open elsewhere, belongs to another account or chain id, or can't be read.
    """

    def __init__(self, path: Path, *, funded: str, chain_id: int, now: Callable[[], float] = time.time) -> None:
        self.chain_id = chain_id
        self._funded = to_canonical_address(funded)
        self._now = now
        self._mining = threading.Lock()
        self._chain_class: type[PyEvmChain] = PyEvmChain.configure(
            "LedgerChain", vm_configuration=((BlockNumber(0), LedgerVM),), chain_id=chain_id
        )
        self._store = LedgerStore(path)
        try:
            self._begin(path)
            self._chain = self._chain_class(AtomicDB(self._store))
            self.body = lru_cache(maxsize=DECODED_BLOCKS_MAX)(self._body)
        except sqlite3.Error as error:
            self._store.close()
            raise LedgerError(f"the chain's file {path} can't be read: {error}") from error
        except BaseException:
            self._store.close()
            raise

    def close(self) -> None:
        with self._mining:
            self._store.close()

    # --- reading; no lock is needed, since committed blocks never change

    def head(self) -> BlockHeaderAPI:
        return self._chain.get_canonical_head()

    def header_at(self, number: int) -> BlockHeaderAPI | None:
        try:
            return self._chain.get_canonical_block_header_by_number(BlockNumber(number))
        except HeaderNotFound:
            return None

    def header_of(self, block_hash: bytes) -> BlockHeaderAPI | None:
        try:
            return self._chain.get_block_header_by_hash(Hash32(block_hash))
        except HeaderNotFound:
            return None

    def find(self, tx_hash: bytes) -> tuple[int, int] | None:
        """Where a transaction is: block number and index. One look-up, at any height."""
        try:
            number, index = self._chain.get_canonical_transaction_index(Hash32(tx_hash))
        except TransactionNotFound:
            return None
        return number, index

    def _body(self, number: int) -> BlockBody:
        """Everything in the block at ``number``, which must exist; cached under the name ``body``."""
        header = self._chain.get_canonical_block_header_by_number(BlockNumber(number))
        block = self._chain.get_block_by_header(header)
        receipts = tuple(self._chain.chaindb.get_receipts(header, LedgerVM.get_receipt_builder()))
        first_logs: list[int] = []
        logs = 0
        for receipt in receipts:
            first_logs.append(logs)
            logs += len(receipt.logs)
        return BlockBody(header, block, tuple(block.transactions), receipts, tuple(first_logs))

    @property
    def nodes(self) -> Mapping[bytes, bytes]:
        """All nodes of all states' tries, by their hash, among whatever else is stored."""
        return self._store

    def state(self, header: BlockHeaderAPI) -> StateAPI:
        """The state after a block. It can be played with: nothing of it is ever written."""
        free = header.copy(base_fee_per_gas=0)
        hashes = LedgerVM.get_prev_hashes(header.parent_hash, self._chain.chaindb) or ()
        return LedgerVM.build_state(AtomicDB(self._store), free, ChainContext(self.chain_id), hashes)

    def call(self, header: BlockHeaderAPI, *, sender: bytes, to: bytes, data: bytes, value: int, gas: int) -> bytes:
        """Execute a call on the state after a block, for nothing. Raises CallFailed or Refused."""
        state = self.state(header)
        unsigned = LedgerVM.create_unsigned_transaction(
            nonce=state.get_nonce(Address(sender)),
            gas_price=0,
            gas=min(gas, TRANSACTION_GAS_MAX),
            to=Address(to),
            value=value,
            data=data,
        )
        if unsigned.gas < unsigned.intrinsic_gas:
            raise Refused(f"intrinsic gas too low: have {unsigned.gas}, want {unsigned.intrinsic_gas}")
        if state.get_balance(Address(sender)) < value:
            raise Refused("insufficient funds for gas * price + value")
        try:
            done = state.apply_transaction(SpoofTransaction(unsigned, from_=Address(sender)))  # type: ignore[arg-type]
        except ValidationError as error:
            raise Refused(str(error)) from error
        if done.is_error:
            raise _call_failed(done.error, done.output)
        return bytes(done.output)

    # --- writing

    def mine(self, raws: Sequence[bytes]) -> list[bytes | Refused]:
        """Mine signed transactions, in their order and in as few blocks as the gas limit allows.

        For each its hash, or Refused (returned): a refused one leaves no trace and doesn't spoil
        the others. A reverted transaction is mined. When this returns, everything is on disk.
        """
        outcomes: list[bytes | Refused | None] = [None] * len(raws)
        waiting: list[tuple[int, SignedTransactionAPI]] = []
        for place, raw in enumerate(raws):
            try:
                waiting.append((place, self._decode(raw)))
            except Refused as refused:
                outcomes[place] = refused
        with self._mining:
            while waiting:
                waiting = self._mine_block(waiting, outcomes)
        return [outcome for outcome in outcomes if outcome is not None]

    def _mine_block(
        self, waiting: list[tuple[int, SignedTransactionAPI]], outcomes: list[bytes | Refused | None]
    ) -> list[tuple[int, SignedTransactionAPI]]:
        """Make one block of what fits, commit it, note the outcomes and give back what is left."""
        pending = Pending(self._store)
        chain = self._chain_class(AtomicDB(pending))
        header = self._next_header(chain.get_canonical_head())
        vm = chain.get_vm(header)
        mined: dict[bytes, int] = {}
        transactions: list[SignedTransactionAPI] = []
        receipts: list[ReceiptAPI] = []
        left: list[tuple[int, SignedTransactionAPI]] = []
        for position, (place, transaction) in enumerate(waiting):
            try:
                if transaction.hash in mined or self.find(transaction.hash) is not None:
                    raise Refused("already known")
                _admit(transaction, vm.state)
            except Refused as refused:
                outcomes[place] = refused
                continue
            if header.gas_used + transaction.gas > header.gas_limit:
                left = waiting[position:]
                break
            try:
                receipt, _ = vm.apply_transaction(header, transaction)
            except Exception as error:
                # Whatever it left in this block's state is thrown away with the block, and the
                # others are played again without it.
                log.exception("transaction 0x%s could not be executed", transaction.hash.hex())
                outcomes[place] = Refused(f"transaction could not be executed: {error}")
                return [each for each in waiting if outcomes[each[0]] is None]
            header = vm.add_receipt_to_header(header, receipt)
            mined[transaction.hash] = place
            transactions.append(transaction)
            receipts.append(receipt)
        if transactions:
            filled = vm.set_block_transactions_and_withdrawals(vm.get_block(), header, transactions, receipts)
            block = vm.mine_block(filled).block
            chain.chaindb.persist_block(block)
            self._store.commit(pending)
            for tx_hash, place in mined.items():
                outcomes[place] = tx_hash
        return left

    def _decode(self, raw: bytes) -> SignedTransactionAPI:
        """A signed transaction from its bytes, checked as far as it can be without any state."""
        if len(raw) > TRANSACTION_BYTES_MAX:
            raise Refused(f"oversized data: transaction size {len(raw)}, limit {TRANSACTION_BYTES_MAX}")
        if raw[:1] in (b"\x03", b"\x04"):
            raise Refused("transaction type not supported")
        try:
            transaction = LedgerVM.get_transaction_builder().decode(raw)
            if transaction.encode() != raw:
                raise ValidationError("not in canonical form")
            chain_id = transaction.chain_id
        except Exception as error:  # of a dozen kinds, on bytes that are no transaction
            raise Refused(f"invalid transaction: {error}") from error
        if chain_id is None:
            raise Refused("only replay-protected (EIP-155) transactions allowed over RPC")
        if chain_id != self.chain_id:
            raise Refused(f"invalid chain id for signer: have {chain_id} want {self.chain_id}")
        if transaction.gas > TRANSACTION_GAS_MAX:
            raise Refused(f"transaction gas limit too high (cap: {TRANSACTION_GAS_MAX}, tx: {transaction.gas})")
        needed = max(transaction.intrinsic_gas, _floor_gas(transaction.data))
        if transaction.gas < needed:
            raise Refused(f"intrinsic gas too low: gas {transaction.gas}, minimum needed {needed}")
        try:
            transaction.validate()
            _ = transaction.sender
        except Exception as error:
            raise Refused(f"invalid sender: {error}") from error
        return transaction

    def _next_header(self, parent: BlockHeaderAPI) -> BlockHeaderAPI:
        header: BlockHeaderAPI = LedgerVM.create_header_from_parent(
            parent,
            timestamp=max(int(self._now()), parent.timestamp),
            gas_limit=parent.gas_limit,
            coinbase=Address(self._funded),
        )
        return header.copy(base_fee_per_gas=parent.base_fee_per_gas)

    def _begin(self, path: Path) -> None:
        """Make the genesis at the first start; later hold the file against what this node expects."""
        want = {
            "format": FILE_FORMAT,
            "chain_id": str(self.chain_id),
            "funded": to_checksum_address(self._funded),
        }
        found = self._store.meta()
        if not found:
            pending = Pending(self._store)
            self._chain_class.from_genesis(
                AtomicDB(pending),
                {
                    "difficulty": POST_MERGE_DIFFICULTY,
                    "nonce": POST_MERGE_NONCE,
                    "coinbase": Address(self._funded),
                    "gas_limit": BLOCK_GAS_LIMIT,
                    "base_fee_per_gas": BASE_FEE_PER_GAS,
                    "timestamp": int(self._now()),
                    "extra_data": b"VTrace",
                },
                {
                    Address(self._funded): {
                        "balance": GENESIS_BALANCE_WEI,
                        "nonce": 0,
                        "code": b"",
                        "storage": {},
                    }
                },
            )
            self._store.commit(pending, want)
            return
        for name, value in want.items():
            if found.get(name) != value:
                raise LedgerError(
                    f"the chain in {path} has {name} {found.get(name)}, this node wants {value}: "
                    "it is another node's chain; start with its data directory and key, or with a new one"
                )


def _admit(transaction: SignedTransactionAPI, state: StateAPI) -> None:
    """Hold a transaction against the sender's account, as Geth's pool would."""
    nonce = state.get_nonce(transaction.sender)
    if transaction.nonce < nonce:
        raise Refused(f"nonce too low: next nonce {nonce}, tx nonce {transaction.nonce}")
    if transaction.nonce > nonce:
        raise Refused(f"nonce too high: next nonce {nonce}, tx nonce {transaction.nonce}")
    if transaction.max_priority_fee_per_gas > transaction.max_fee_per_gas:
        raise Refused("max priority fee per gas higher than max fee per gas")
    if transaction.max_fee_per_gas < state.base_fee:
        raise Refused(
            f"transaction underpriced: max fee per gas {transaction.max_fee_per_gas}, base fee {state.base_fee}"
        )
    cost = transaction.gas * transaction.max_fee_per_gas + transaction.value
    balance = state.get_balance(transaction.sender)
    if balance < cost:
        raise Refused(f"insufficient funds for gas * price + value: balance {balance}, tx cost {cost}")


def _floor_gas(data: bytes) -> int:
    """EIP-7623: what a transaction pays at least for its data."""
    zeros = data.count(0)
    return FLOOR_GAS + FLOOR_GAS_PER_TOKEN * (zeros + 4 * (len(data) - zeros))


def _call_failed(error: VMError, output: bytes) -> CallFailed:
    if isinstance(error, Revert):
        return CallFailed("execution reverted", bytes(output))
    words = "".join(" " + letter.lower() if letter.isupper() else letter for letter in type(error).__name__)
    return CallFailed(f"{words.strip()}: {error}", None)


def gas_used(receipts: Sequence[ReceiptAPI], index: int) -> int:
    """What one transaction used: receipts hold the sum up to and with it."""
    before: Any = receipts[index - 1].gas_used if index else 0
    return int(receipts[index].gas_used - before)
