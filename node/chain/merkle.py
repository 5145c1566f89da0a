"""What follows from a block's hash: its header, and what the tries under the header's roots hold. No chain is asked.

Whoever gives bytes to the functions here may lie. Each answers only what the hash that it was given proves, or raises
ValueError; none takes a byte that the hash does not bind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rlp
from eth_hash.auto import keccak
from trie.hexary import HexaryTrie

HEADER_FIELDS_MIN = 15
HEADER_BYTES_MAX = 16 * 1024
NODES_MAX = 65
"""A node for each half byte of a key of 32 bytes, and the value's."""
HASHED_BYTES_MIN = 32
"""A smaller node stands inside its parent and has no place of its own in a proof."""


@dataclass(frozen=True, slots=True)
class Header:
    """A block's header, as far as proofs need it; ``timestamp`` is in seconds since 1970."""

    hash: bytes
    parent_hash: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    number: int
    timestamp: int


@dataclass(frozen=True, slots=True)
class Account:
    """What the state has of a contract's account."""

    storage_root: bytes
    code_hash: bytes


def read_header(raw: bytes) -> Header:
    """A header from its RLP; its hash is that of the block."""
    fields = _items(raw, "header") if len(raw) <= HEADER_BYTES_MAX else []
    if len(fields) < HEADER_FIELDS_MIN or not all(isinstance(each, bytes) for each in fields):
        raise ValueError("these bytes are no block's header")
    parent_hash, state_root, transactions_root, receipts_root = fields[0], fields[3], fields[4], fields[5]
    if any(len(each) != 32 for each in (parent_hash, state_root, transactions_root, receipts_root)):
        raise ValueError("these bytes are no block's header: a hash in it has not 32 bytes")
    return Header(
        hash=keccak(raw),
        parent_hash=parent_hash,
        state_root=state_root,
        transactions_root=transactions_root,
        receipts_root=receipts_root,
        number=_number(fields[8]),
        timestamp=_number(fields[11]),
    )


def index_key(index: int) -> bytes:
    """The key of a block's transaction, and of its receipt, in the tries of the block."""
    return bytes(rlp.encode(index))


def value_of(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes:
    """What a trie has under a key. ``nodes`` must be the way there from the root: every node of it, and no other."""
    if not 1 <= len(nodes) <= NODES_MAX:
        raise ValueError(f"a proof has {len(nodes)} nodes, want 1 to {NODES_MAX}")
    try:
        value, way = way_to({keccak(node): node for node in nodes}, root, key)
    except Exception as error:  # of a dozen kinds, on nodes that are none
        raise ValueError(f"the nodes of a proof don't lead from its root to its value: {error}") from error
    if not value or way != list(nodes):
        raise ValueError("the nodes of a proof are not the way from its root to its value")
    return value


def way_to(nodes: Mapping[bytes, bytes], root: bytes, key: bytes) -> tuple[bytes, list[bytes]]:
    """What a trie has under a key (empty for nothing), and the nodes that prove it; ``nodes`` has all by their hash."""
    trie: Any = HexaryTrie(nodes, root)
    way = [bytes(rlp.encode(node)) for node in trie.get_proof(key)]
    return bytes(trie.get(key)), way[:1] + [node for node in way[1:] if len(node) >= HASHED_BYTES_MIN]


class IndexTrie:
    """The trie of a block's transactions, or of its receipts, made of all of them in their order."""

    def __init__(self, values: Sequence[bytes]) -> None:
        self._nodes: dict[bytes, bytes] = {}
        trie = HexaryTrie(self._nodes)
        for index, value in enumerate(values):
            trie[index_key(index)] = value
        self.root = bytes(trie.root_hash)

    def proof(self, index: int) -> list[bytes]:
        """The nodes that prove the value at ``index``."""
        return way_to(self._nodes, self.root, index_key(index))[1]


def account_of(state_root: bytes, address: bytes, nodes: Sequence[bytes]) -> Account:
    """The account at an address of 20 bytes."""
    fields = _items(value_of(state_root, keccak(address), nodes), "account")
    if len(fields) != 4 or not all(isinstance(each, bytes) for each in fields):
        raise ValueError("the state has no account there")
    return Account(storage_root=fields[2], code_hash=fields[3])


def word_at(storage_root: bytes, slot: int, nodes: Sequence[bytes]) -> int:
    """The word in a slot of a contract's storage, which isn't 0: the trie has no zeros."""
    found = _decoded(value_of(storage_root, keccak(slot.to_bytes(32, "big")), nodes), "word")
    if not isinstance(found, bytes):
        raise ValueError("the storage has no word there")
    return _number(found)


def _decoded(raw: bytes, what: str) -> Any:
    try:
        return rlp.decode(raw)
    except (rlp.DecodingError, RecursionError) as error:
        raise ValueError(f"{what}: not RLP: {error}") from error


def _items(raw: bytes, what: str) -> list[Any]:
    found = _decoded(raw, what)
    if not isinstance(found, list):
        raise ValueError(f"{what}: want a list of fields")
    return found


def _number(raw: bytes) -> int:
    if len(raw) > 32 or raw[:1] == b"\0":
        raise ValueError("a number in RLP has no leading zeros and at most 32 bytes")
    return int.from_bytes(raw, "big")
