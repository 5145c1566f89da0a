"""Content identifiers (CIDv1, base32, sha2-256) and the tree of blocks that a file is behind one.

A file of at most CHUNK_BYTES is one raw block. A longer one is cut into chunks of CHUNK_BYTES, and nodes of at most
LINKS_MAX links stand above them, layer by layer, until one is left: UnixFS in dag-pb, as IPFS has it.
The digests of the chunks give the whole tree, so they are all that is needed to check any part of a file alone.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

CHUNK_BYTES = 262_144
LINKS_MAX = 174
DIGEST_BYTES = 32
CID_LENGTH = 59
NODE_BYTES_MAX = 64 * 1024

RAW = 0x55
DAG_PB = 0x70

_TEXT = re.compile(r"b[a-z2-7]{58}")
_PREFIX = {codec: bytes((1, codec, 0x12, DIGEST_BYTES)) for codec in (RAW, DAG_PB)}


class NoCid(ValueError):
    """A text that is not a CID of the kind that VTrace uses."""


class BadNode(ValueError):
    """A block that is no node of a file's tree."""


@dataclass(frozen=True, slots=True)
class Cid:
    """What a CID says: how the block is encoded, and its sha2-256 digest."""

    codec: int
    digest: bytes

    def __str__(self) -> str:
        return "b" + base64.b32encode(self.packed).decode().rstrip("=").lower()

    @property
    def packed(self) -> bytes:
        """The binary form."""
        return _PREFIX[self.codec] + self.digest


def parse(text: str) -> Cid:
    """A CID from its text; exactly one text stands for each."""
    if not _TEXT.fullmatch(text):
        raise NoCid("want a CIDv1 in base32: b and 58 characters of a-z and 2-7")
    try:
        packed = base64.b32decode(text[1:].upper() + "=" * 6)
    except binascii.Error as fault:
        raise NoCid("want a CIDv1 in base32") from fault
    found = Cid(packed[1], packed[4:])
    if packed[:4] != _PREFIX.get(packed[1]) or str(found) != text:
        raise NoCid("want a CIDv1 of a raw block or of dag-pb, with sha2-256")
    return found


@dataclass(frozen=True, slots=True)
class Link:
    """A child of a node: its block, the bytes of the file under it, and the bytes of all blocks under it."""

    cid: Cid
    file_bytes: int
    tree_bytes: int


class ChunkDigests:
    """sha2-256 of every CHUNK_BYTES of a stream, which give its CID."""

    def __init__(self) -> None:
        self._done: list[bytes] = []
        self._open = hashlib.sha256()
        self._filled = 0
        self.size = 0

    def update(self, data: bytes) -> None:
        """Take in the next bytes."""
        self.size += len(data)
        view = memoryview(data)
        while view:
            piece = view[: CHUNK_BYTES - self._filled]
            self._open.update(piece)
            self._filled += len(piece)
            view = view[len(piece) :]
            if self._filled == CHUNK_BYTES:
                self._done.append(self._open.digest())
                self._open, self._filled = hashlib.sha256(), 0

    def finish(self) -> tuple[bytes, ...]:
        """All digests; an empty stream has one, of nothing."""
        if self._filled or not self._done:
            self._done.append(self._open.digest())
        return tuple(self._done)


def of_raw(block: bytes) -> Cid:
    """The CID of one raw block."""
    return Cid(RAW, hashlib.sha256(block).digest())


def of_chunks(digests: Sequence[bytes], size: int) -> Cid:
    """The CID of a file of ``size`` bytes from the digests of its chunks, in their order."""
    if len(digests) != max(1, -(-size // CHUNK_BYTES)):
        raise ValueError(f"{len(digests)} chunks don't make {size} bytes")
    last = len(digests) - 1
    layer = []
    for number, digest in enumerate(digests):
        length = size - number * CHUNK_BYTES if number == last else CHUNK_BYTES
        layer.append(Link(Cid(RAW, digest), length, length))
    while len(layer) > 1:
        layer = [_parent(layer[at : at + LINKS_MAX]) for at in range(0, len(layer), LINKS_MAX)]
    return layer[0].cid


def _parent(children: Sequence[Link]) -> Link:
    block = node_of(children)
    cid = Cid(DAG_PB, hashlib.sha256(block).digest())
    below = sum(child.tree_bytes for child in children)
    return Link(cid, sum(child.file_bytes for child in children), len(block) + below)


def node_of(children: Sequence[Link]) -> bytes:
    """The block of a node with these children."""
    node = bytearray()
    for child in children:
        link = _bytes_field(1, child.cid.packed) + _bytes_field(2, b"") + _number_field(3, child.tree_bytes)
        node += _bytes_field(2, link)
    data = _number_field(1, 2) + _number_field(3, sum(child.file_bytes for child in children))
    for child in children:
        data += _number_field(4, child.file_bytes)
    return bytes(node + _bytes_field(1, data))


def children_of(node: bytes) -> list[Link]:
    """The children that a node's block names."""
    if len(node) > NODE_BYTES_MAX:
        raise BadNode(f"{len(node)} bytes, want at most {NODE_BYTES_MAX}")
    links: list[tuple[Cid, int]] = []
    sizes: list[int] = []
    for number, value in _fields(node):
        if number == 2:
            link = dict(_fields(_as_bytes(value)))
            packed = _as_bytes(link.get(1))
            if packed[:4] not in _PREFIX.values() or len(packed) != 4 + DIGEST_BYTES:
                raise BadNode("a link that is not CIDv1 with sha2-256")
            links.append((Cid(packed[1], packed[4:]), _as_number(link.get(3))))
        elif number == 1:
            sizes = [_as_number(size) for field, size in _fields(_as_bytes(value)) if field == 4]
    if not links or len(links) != len(sizes):
        raise BadNode(f"{len(links)} links and {len(sizes)} sizes")
    return [Link(cid, size, tree) for (cid, tree), size in zip(links, sizes, strict=True)]


def _as_bytes(value: bytes | int | None) -> bytes:
    if not isinstance(value, bytes):
        raise BadNode("a field of another kind")
    return value


def _as_number(value: bytes | int | None) -> int:
    if not isinstance(value, int):
        raise BadNode("a field of another kind")
    return value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _number_field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes_field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _fields(message: bytes) -> list[tuple[int, bytes | int]]:
    """The fields of a protobuf message that has only numbers and bytes."""
    found: list[tuple[int, bytes | int]] = []
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        value, at = _read_varint(message, at)
        if tag & 7 == 0:
            found.append((tag >> 3, value))
        elif tag & 7 == 2 and at + value <= len(message):
            found.append((tag >> 3, message[at : at + value]))
            at += value
        else:
            raise BadNode("not dag-pb")
    return found


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 63, 7):
        if at >= len(message):
            raise BadNode("cut short")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise BadNode("a number of more than 63 bits")
