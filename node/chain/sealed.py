"""Blocks and state with their proofs, read from a chain.

Everything that comes back leads to the hash of a block; what the endpoint says beside that is not believed. An
endpoint whose answers don't, or that can't be asked, is ChainUnavailable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from eth_hash.auto import keccak
from eth_utils.address import to_canonical_address

from node.chain import shape
from node.chain.envelope import header_raw, receipt_raw, transaction_raw
from node.chain.merkle import Header, IndexTrie, account_of, read_header, word_at
from node.chain.transport import METHOD_NOT_FOUND, ChainUnavailable, JsonRpc, RpcError

T = TypeVar("T")

METHOD_NOT_SUPPORTED = -32004
"""What Hardhat says of a method that it does not have."""
TRANSACTIONS_MAX = 20_000
"""A block of more transactions is not taken apart."""


@dataclass(frozen=True)
class SealedBlock:
    """A block whose header, transactions and receipts fit its hash."""

    raw: bytes
    header: Header
    transactions: IndexTrie
    receipts: IndexTrie
    hashes: tuple[str, ...]
    """Of the transactions, in their order."""


@dataclass(frozen=True, slots=True)
class StateProof:
    """The nodes that prove a contract's account, and a word of its storage."""

    account: tuple[bytes, ...]
    storage: tuple[bytes, ...]


class SealedReader:
    """Reads blocks and state with their proofs. Holds no state but its JsonRpc."""

    def __init__(self, rpc: JsonRpc) -> None:
        self._rpc = rpc

    def header(self, number: int) -> tuple[bytes, Header]:
        """The header of the block at a height: its RLP, and what is in it."""
        body = self._ask("eth_getBlockByNumber", [hex(number), False])
        return self._header(number, body)

    def block(self, number: int) -> SealedBlock:
        """The block at a height with all that is in it."""
        body = self._ask("eth_getBlockByNumber", [hex(number), True])
        raw, header = self._header(number, body)
        told = self._read("eth_getBlockByNumber", lambda: shape.array(shape.field(shape.obj(body), "transactions")))
        if len(told) > TRANSACTIONS_MAX:
            raise ChainUnavailable(f"block {number} has {len(told)} transactions, want at most {TRANSACTIONS_MAX}")
        transactions = self._read("eth_getBlockByNumber", lambda: [transaction_raw(each) for each in told])
        hashes = tuple("0x" + keccak(each).hex() for each in transactions)
        found = self._receipts(number, hashes)
        receipts = self._read("eth_getTransactionReceipt", lambda: [receipt_raw(each) for each in found])
        sealed = SealedBlock(raw, header, IndexTrie(transactions), IndexTrie(receipts), hashes)
        if sealed.transactions.root != header.transactions_root:
            raise ChainUnavailable(f"block {number}: its transactions don't give the transactionsRoot of its header")
        if sealed.receipts.root != header.receipts_root:
            raise ChainUnavailable(f"block {number}: its receipts don't give the receiptsRoot of its header")
        return sealed

    def state(self, header: Header, address: str, slot: int) -> StateProof | None:
        """The proof of a word of a contract's storage after a block; None if the chain can't give such proofs.

        The word must not be 0.
        """
        params = [address, [f"0x{slot:064x}"], hex(header.number)]
        (answer,) = self._rpc.batch([("eth_getProof", params)])
        if isinstance(answer, RpcError):
            if answer.code in (METHOD_NOT_FOUND, METHOD_NOT_SUPPORTED):
                return None
            raise ChainUnavailable(f"eth_getProof: the chain refused: {answer}") from answer
        proof = self._read("eth_getProof", lambda: _state_proof(answer))
        try:
            account = account_of(header.state_root, to_canonical_address(address), proof.account)
            word_at(account.storage_root, slot, proof.storage)
        except ValueError as error:
            raise ChainUnavailable(f"eth_getProof: the answer does not fit block {header.number}: {error}") from error
        return proof

    def _header(self, number: int, body: Any) -> tuple[bytes, Header]:
        if body is None:
            raise ChainUnavailable(f"eth_getBlockByNumber: the chain has no block {number}")
        raw = self._read("eth_getBlockByNumber", lambda: header_raw(body))
        try:
            header = read_header(raw)
        except ValueError as error:
            raise ChainUnavailable(f"eth_getBlockByNumber: block {number}: {error}") from error
        told = self._read("eth_getBlockByNumber", lambda: shape.data(shape.field(shape.obj(body), "hash"), 32))
        if told != header.hash or header.number != number:
            raise ChainUnavailable(
                f"block {number}: its fields don't give its hash 0x{told.hex()}; has the chain a fork, or a consensus, "
                "that this version doesn't know?"
            )
        return raw, header

    def _receipts(self, number: int, hashes: tuple[str, ...]) -> list[Any]:
        """The receipts of a block in their order, at once where the chain can, else one by one."""
        if not hashes:
            return []
        (answer,) = self._rpc.batch([("eth_getBlockReceipts", [hex(number)])])
        if isinstance(answer, RpcError) or answer is None:
            answer = self._rpc.batch([("eth_getTransactionReceipt", [each]) for each in hashes])
            for refusal in answer:
                if isinstance(refusal, RpcError):
                    raise ChainUnavailable(f"eth_getTransactionReceipt: the chain refused: {refusal}") from refusal
        return self._read("eth_getBlockReceipts", lambda: shape.array(answer))

    def _ask(self, method: str, params: list[Any]) -> Any:
        (answer,) = self._rpc.batch([(method, params)])
        if isinstance(answer, RpcError):
            raise ChainUnavailable(f"{method}: the chain refused: {answer}") from answer
        return answer

    def _read(self, method: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except shape.ShapeError as error:
            raise ChainUnavailable(f"{method}: the answer {error}") from error


def _state_proof(answer: Any) -> StateProof:
    body = shape.obj(answer)
    found = shape.array(shape.field(body, "storageProof"))
    if len(found) != 1:
        raise shape.ShapeError(f"has {len(found)} storage proofs, want 1")
    return StateProof(
        account=_nodes(shape.field(body, "accountProof")), storage=_nodes(shape.field(shape.obj(found[0]), "proof"))
    )


def _nodes(value: Any) -> tuple[bytes, ...]:
    return tuple(shape.data(each) for each in shape.array(value))
