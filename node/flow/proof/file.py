"""The form of a proof file, which docs/proof.md describes. There is one way to write a proof, to the byte."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar

from node.domain import bounded_json
from node.domain.form import FORM_BYTES_MAX, SALT_BYTES, canonical_json
from node.domain.model import ACTOR_MAX, GOODS_ID_MAX, TIMES_MAX
from node.errors import shown
from node.flow.audit import one_line

FORMAT: Final = "vtrace-proof/1"
FILE_BYTES_MAX: Final = 64 * 1024 * 1024
CHAIN_ID_MAX: Final = 2**63 - 1
INDEX_MAX: Final = 2**32 - 1
ON_AN_RPC: Final = "rests on an RPC"
"""What stands for the proof of the contract's state where a chain can't give one."""

_HEX = re.compile(r"0x(?:[0-9a-f]{2})+")
_ADDRESS = re.compile(r"0x[0-9a-f]{40}")

T = TypeVar("T")


class ProofWrong(Exception):
    """The file is not a proof, or proves something else than it says. As a string it is one printable line."""

    def __str__(self) -> str:
        return one_line(super().__str__())


@dataclass(frozen=True, slots=True)
class Carrier:
    """A transaction of a block and its receipt: the nodes that prove each under ``index`` in the block's tries."""

    index: int
    transaction: tuple[bytes, ...]
    receipt: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ProofBlock:
    """A block: its header in RLP, and of its transactions those that tell of the goods or their actors."""

    header: bytes
    transactions: tuple[Carrier, ...]


@dataclass(frozen=True, slots=True)
class ProofCirc:
    """What of a circ is not on the chain."""

    salt: bytes
    form: bytes


@dataclass(frozen=True, slots=True)
class ProofActor:
    """An actor and the username under which it was registered."""

    actor: int
    username: str


@dataclass(frozen=True, slots=True)
class ProofState:
    """The nodes that prove the contract's account in the last block's state, and the goods' word in its storage."""

    account: tuple[bytes, ...]
    storage: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ProofFile:
    """A proof, as it stands in its file. ``contract`` is an address in lower case.

    Blocks ascend, circs are in their order, actors ascend. ``state`` is None where it rests on an RPC.
    """

    chain_id: int
    contract: str
    goods_id: int
    blocks: tuple[ProofBlock, ...]
    circs: tuple[ProofCirc, ...]
    actors: tuple[ProofActor, ...]
    state: ProofState | None


def write(proof: ProofFile) -> bytes:
    """The file's bytes."""
    body: dict[str, Any] = {
        "format": FORMAT,
        "chain_id": proof.chain_id,
        "contract": proof.contract,
        "goods_id": proof.goods_id,
        "blocks": [
            {
                "header": _hex(block.header),
                "transactions": [
                    {
                        "index": each.index,
                        "transaction": _hexes(each.transaction),
                        "receipt": _hexes(each.receipt),
                    }
                    for each in block.transactions
                ],
            }
            for block in proof.blocks
        ],
        "circs": [{"salt": _hex(each.salt), "form": each.form.decode()} for each in proof.circs],
        "actors": [{"actor": each.actor, "username": each.username} for each in proof.actors],
        "state": ON_AN_RPC
        if proof.state is None
        else {"account": _hexes(proof.state.account), "storage": _hexes(proof.state.storage)},
    }
    return _text(body | {"checksum": checksum(body)})


def read(data: bytes) -> ProofFile:
    """The proof in a file's bytes. Raises ProofWrong for anything that ``write`` would not have written."""
    if len(data) > FILE_BYTES_MAX:
        raise ProofWrong(f"the file has {len(data)} bytes, want at most {FILE_BYTES_MAX}")
    try:
        body = bounded_json.loads(data.decode("utf-8"), parse_float=_no_number, parse_constant=_no_number)
        canonical = _text(body)
    except ValueError as error:
        raise ProofWrong(f"the file is no JSON in UTF-8: {error}") from error
    if canonical != data:
        raise ProofWrong("the file is not written as proofs are: one line, names sorted, none twice, no spaces")
    if isinstance(body, dict) and body.get("format") != FORMAT:
        raise ProofWrong(f"format: {shown(body.get('format'))}, want {FORMAT}")
    members = _Members("", body)
    told = members.take("checksum", _text_of)
    if told != checksum({name: value for name, value in body.items() if name != "checksum"}):
        raise ProofWrong("checksum: is not the file's: it was changed, or damaged, after it was made")
    members.take("format", _text_of)
    proof = ProofFile(
        chain_id=members.take("chain_id", _number(1, CHAIN_ID_MAX)),
        contract=members.take("contract", _address),
        goods_id=members.take("goods_id", _number(1, GOODS_ID_MAX)),
        blocks=members.take("blocks", _array(_block)),
        circs=members.take("circs", _array(_circ, TIMES_MAX)),
        actors=members.take("actors", _array(_actor)),
        state=members.take("state", _state),
    )
    members.end()
    return proof


def checksum(body: dict[str, Any]) -> str:
    """sha256 of all else in the file, for damage and slips: anybody can make one, so nothing is proven by it."""
    return hashlib.sha256(_text(body)).hexdigest()


def _text(body: Any) -> bytes:
    return canonical_json(body) + b"\n"


def _hex(data: bytes) -> str:
    return "0x" + data.hex()


def _hexes(nodes: tuple[bytes, ...]) -> list[str]:
    return [_hex(node) for node in nodes]


# Reading: each function takes any JSON value and where it stands, and refuses what has not its shape.


class _Members:
    """The members of an object, each taken once; what is left over is refused. The file itself is at no place."""

    def __init__(self, where: str, value: Any) -> None:
        if not isinstance(value, dict):
            raise ProofWrong(f"{where or 'the file'}: {shown(value)}, want an object")
        self._where = where
        self._left = dict(value)

    def take(self, name: str, read_value: Callable[[str, Any], T]) -> T:
        if name not in self._left:
            raise ProofWrong(f"{self._where or 'the file'}: has no {name}")
        return read_value(f"{self._where}.{name}" if self._where else name, self._left.pop(name))

    def end(self) -> None:
        for name in self._left:
            raise ProofWrong(f"{self._where or 'the file'}: has {shown(name)}, which proofs don't have")


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number that proofs have")


def _text_of(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ProofWrong(f"{where}: {shown(value)}, want a text")
    return value


def _number(least: int, most: int) -> Callable[[str, Any], int]:
    def read_number(where: str, value: Any) -> int:
        if type(value) is not int or not least <= value <= most:
            raise ProofWrong(f"{where}: {shown(value)}, want {least} to {most}")
        return value

    return read_number


def _array(read_each: Callable[[str, Any], T], length_max: int | None = None) -> Callable[[str, Any], tuple[T, ...]]:
    def read_array(where: str, value: Any) -> tuple[T, ...]:
        if not isinstance(value, list):
            raise ProofWrong(f"{where}: {shown(value)}, want an array")
        if length_max is not None and len(value) > length_max:
            raise ProofWrong(f"{where}: {len(value)} of them, want at most {length_max}")
        return tuple(read_each(f"{where}[{place}]", each) for place, each in enumerate(value))

    return read_array


def _bytes(where: str, value: Any) -> bytes:
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise ProofWrong(f"{where}: {shown(value)}, want 0x and pairs of lower-case hex digits")
    return bytes.fromhex(value[2:])


def _address(where: str, value: Any) -> str:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise ProofWrong(f"{where}: {shown(value)}, want an address, 0x and 40 lower-case hex digits")
    return value


_nodes = _array(_bytes)


def _block(where: str, value: Any) -> ProofBlock:
    members = _Members(where, value)
    block = ProofBlock(members.take("header", _bytes), members.take("transactions", _array(_carrier)))
    members.end()
    return block


def _carrier(where: str, value: Any) -> Carrier:
    members = _Members(where, value)
    carrier = Carrier(
        members.take("index", _number(0, INDEX_MAX)),
        members.take("transaction", _nodes),
        members.take("receipt", _nodes),
    )
    members.end()
    return carrier


def _circ(where: str, value: Any) -> ProofCirc:
    members = _Members(where, value)
    salt, form = members.take("salt", _bytes), members.take("form", _text_of).encode()
    if len(salt) != SALT_BYTES:
        raise ProofWrong(f"{where}: a salt of {len(salt)} bytes, want {SALT_BYTES}")
    if len(form) > FORM_BYTES_MAX:
        raise ProofWrong(f"{where}: a form of {len(form)} bytes, want at most {FORM_BYTES_MAX}")
    members.end()
    return ProofCirc(salt, form)


def _actor(where: str, value: Any) -> ProofActor:
    members = _Members(where, value)
    actor = ProofActor(members.take("actor", _number(1, ACTOR_MAX)), members.take("username", _text_of))
    members.end()
    return actor


def _state(where: str, value: Any) -> ProofState | None:
    if value == ON_AN_RPC:
        return None
    members = _Members(where, value)
    state = ProofState(members.take("account", _nodes), members.take("storage", _nodes))
    members.end()
    return state
