"""What contracts do on the simulator: the rules of node/domain, and the bytes of node/chain/contract.py. No EVM.

A program answers a call with its output and logs or raises Reverted, and changes nothing then.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Protocol

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from node.chain import contract, signer
from node.domain import custody
from node.domain.custody import CustodyError, GoodsState
from node.domain.model import ACTOR_MAX, NOBODY, Circ, CircType, Range, Rights
from tests.chain import echo

NOWHERE = "0x" + "00" * 20
RIGHTS_ALL = 7
_CIRC_TYPES = frozenset(CircType)
ADMIN_ROLE = bytes(32)
REGISTRAR_ROLE = keccak(b"REGISTRAR_ROLE")
CIRCULATE = ("(uint32,uint32)[]", "uint8", "uint32", "uint32", "bytes32", "uint256", "bytes")


class Reverted(Exception):
    """A call failed; ``data`` is what the contract gave as the reason."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(contract.decode_error(data))
        self.data = data


@dataclass(frozen=True, slots=True)
class Event:
    topics: tuple[bytes, ...]
    data: bytes


class Program(Protocol):
    """A contract that stands on the chain."""

    @property
    def code(self) -> bytes: ...

    def copy(self) -> Program:
        """The same, to be changed apart."""

    def call(self, sender: str, data: bytes) -> tuple[bytes, list[Event]]:
        """Output and logs. Addresses are checksummed."""


def created(data: bytes, chain_id: int, address: str) -> Program:
    """The contract that a transaction with this data makes at ``address``; Reverted if it is neither of the two."""
    creation = bytes.fromhex(contract.artifact()["bytecode"][2:])
    if data[:-64] == creation:
        admin, registrar = decode(("address", "address"), data[-64:])
        return VTrace(chain_id, address, {(ADMIN_ROLE, _sum(admin)), (REGISTRAR_ROLE, _sum(registrar))})
    if data == echo.CREATION:
        return Echo()
    raise Reverted


@dataclass(slots=True)
class Echo:
    """The contract of tests/chain/echo.py."""

    code: bytes = echo.RUNTIME

    def copy(self) -> Echo:
        return self

    def call(self, sender: str, data: bytes) -> tuple[bytes, list[Event]]:
        del sender
        if not data:
            raise Reverted(echo.REASON)
        padded = data.ljust(64, b"\0")
        return data, [Event((padded[:32], padded[32:64]), data)]


@dataclass(frozen=True, slots=True)
class _Actor:
    account: str
    rights: Rights
    sovereign: bool = False


@dataclass(slots=True)
class VTrace:
    """contracts/VTrace.sol by the rules of node/domain/custody.py."""

    chain_id: int
    address: str
    roles: set[tuple[bytes, str]]
    actors: dict[int, _Actor] = field(default_factory=dict)
    names: dict[bytes, int] = field(default_factory=dict)
    goods: dict[int, GoodsState] = field(default_factory=dict)

    @property
    def code(self) -> bytes:
        return _runtime(self.chain_id, self.address)

    def copy(self) -> VTrace:
        return replace(
            self,
            roles=set(self.roles),
            actors=dict(self.actors),
            names=dict(self.names),
            goods=dict(self.goods),
        )

    def call(self, sender: str, data: bytes) -> tuple[bytes, list[Event]]:
        found = _FUNCTIONS.get(data[:4])
        if found is None:
            raise Reverted
        types, run = found
        try:
            arguments = decode(types, data[4:], strict=False)
        except (DecodingError, OverflowError):
            raise Reverted from None
        output, events = run(self, sender, *arguments)
        return output, events

    def grant(self, sender: str, role: bytes, account: str) -> tuple[bytes, list[Event]]:
        self._need(ADMIN_ROLE, sender)
        self.roles.add((role, _sum(account)))
        return b"", []

    def register_actor(self, sender: str, account: str, rights: int, name: bytes) -> tuple[bytes, list[Event]]:
        self._need(REGISTRAR_ROLE, sender)
        if account == NOWHERE:
            raise _error("ZeroAccount")
        _check_rights(rights)
        if name == bytes(32):
            raise _error("ZeroNameDigest")
        if name in self.names:
            raise _error("NameTaken", nameDigest=name, actor=self.names[name])
        if len(self.actors) == ACTOR_MAX:
            raise _error("ActorsExhausted", limit=ACTOR_MAX)
        actor = len(self.actors) + 1
        self.names[name] = actor
        self.actors[actor] = _Actor(_sum(account), Rights(rights))
        data = encode(("address", "uint8", "bytes32"), (account, rights, name))
        return encode(("uint32",), (actor,)), [Event((contract.ACTOR_REGISTERED_TOPIC, _word(actor)), data)]

    def set_rights(self, sender: str, actor: int, rights: int) -> tuple[bytes, list[Event]]:
        self._need(REGISTRAR_ROLE, sender)
        present = self._actor(actor)
        _check_rights(rights)
        self.actors[actor] = replace(present, rights=Rights(rights))
        return b"", [Event((contract.RIGHTS_CHANGED_TOPIC, _word(actor)), _word(rights))]

    def set_account(self, sender: str, actor: int, account: str, possession: bytes) -> tuple[bytes, list[Event]]:
        present = self._actor(actor)
        if not present.sovereign:
            self._need(REGISTRAR_ROLE, sender)
        elif sender != present.account:
            raise _error("SovereignActor", actor=actor)
        if account == NOWHERE:
            raise _error("ZeroAccount")
        account, sovereign = _sum(account), present.sovereign or bool(possession)
        if sovereign:
            digest = contract.account_digest(self.chain_id, self.address, actor, account)
            _check_signature(actor, account, digest, possession)
        self.actors[actor] = _Actor(account, present.rights, sovereign)
        data = encode(("address", "bool"), (account, sovereign))
        return b"", [Event((contract.ACCOUNT_CHANGED_TOPIC, _word(actor)), data)]

    def circulate(
        self,
        sender: str,
        goods: tuple[tuple[int, int], ...],
        circ_type: int,
        operator: int,
        to: int,
        form_digest: bytes,
        version: int,
        signature: bytes,
    ) -> tuple[bytes, list[Event]]:
        del sender
        rights = {number: self.actors[number].rights for number in (operator, to) if number in self.actors}
        kind = CircType(circ_type) if circ_type in _CIRC_TYPES else circ_type
        circ = Circ(tuple(Range(*span) for span in goods), kind, operator, to, form_digest, version)  # type: ignore[arg-type]
        try:
            custody.check_goods(circ.goods)
            custody.check_parties(circ.circ_type, operator, to, rights)
            digest = contract.circ_digest(self.chain_id, self.address, circ)
            _check_signature(operator, self.actors[operator].account, digest, signature)
            self.goods.update(custody.apply(circ, self.goods, rights))
        except CustodyError as refused:
            raise _error(refused.rule, **refused.args_) from None
        topics = (contract.CIRCULATED_TOPIC, _word(operator), _word(to), _word(circ_type))
        return b"", [Event(topics, encode(("bytes32", "uint256", CIRCULATE[0]), (form_digest, version, goods)))]

    def goods_of(self, sender: str, goods_id: int) -> tuple[bytes, list[Event]]:
        del sender
        state = self.goods.get(goods_id, custody.UNHELD)
        return _word(state.holder) + _word(state.times), []

    def actor_of(self, sender: str, number: int) -> tuple[bytes, list[Event]]:
        del sender
        found = self.actors.get(number, _Actor(NOWHERE, Rights.NONE))
        return encode(("address", "uint8"), (found.account, found.rights)), []

    def name(self, sender: str) -> tuple[bytes, list[Event]]:
        del sender
        return encode(("string",), (contract.NAME,)), []

    def _need(self, role: bytes, sender: str) -> None:
        if (role, sender) not in self.roles:
            raise _error("AccessControlUnauthorizedAccount", account=sender, neededRole=role)

    def _actor(self, number: int) -> _Actor:
        if number not in self.actors or number == NOBODY:
            raise _error("UnknownActor", actor=number)
        return self.actors[number]


def _check_rights(rights: int) -> None:
    if rights > RIGHTS_ALL:
        raise _error("UnknownRights", rights=rights)


def _check_signature(actor: int, account: str, digest: bytes, signature: bytes) -> None:
    try:
        found = signer.recover(digest, signature)
    except ValueError:
        found = NOWHERE
    if found != account:
        raise _error("BadSignature", actor=actor, account=account)


def _error(name: str, **arguments: object) -> Reverted:
    types = _error_types()[name]
    selector = keccak(f"{name}({','.join(types.values())})".encode())[:4]
    return Reverted(selector + encode(list(types.values()), [arguments[each] for each in types]))


@cache
def _error_types() -> dict[str, dict[str, str]]:
    """Each error's name → its arguments' names and types."""
    errors = [entry for entry in contract.artifact()["abi"] if entry["type"] == "error"]
    return {entry["name"]: {given["name"]: given["type"] for given in entry["inputs"]} for entry in errors}


@cache
def _runtime(chain_id: int, address: str) -> bytes:
    """The code that the constructor leaves: found in the creation code by its hash, with the immutables written in."""
    artifact = contract.artifact()
    creation, runtime = bytes.fromhex(artifact["bytecode"][2:]), artifact["runtime"]
    length = runtime["length"]
    start = next(
        at
        for at in range(len(creation) - length, -1, -1)
        if keccak(creation[at : at + length]).hex() == runtime["codeHash"][2:]
    )
    code = bytearray(creation[start : start + length])
    values = contract._immutables(chain_id, address)
    for place in runtime["immutables"]:
        code[place["start"] : place["start"] + place["length"]] = values[place["name"]]
    return bytes(code)


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _sum(address: str) -> str:
    return to_checksum_address(address)


def _selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


_FUNCTIONS = {
    _selector(f"{name}({','.join(types)})"): (types, run)
    for name, types, run in (
        ("grantRole", ("bytes32", "address"), VTrace.grant),
        ("registerActor", ("address", "uint8", "bytes32"), VTrace.register_actor),
        ("setRights", ("uint32", "uint8"), VTrace.set_rights),
        ("setAccount", ("uint32", "address", "bytes"), VTrace.set_account),
        ("circulate", CIRCULATE, VTrace.circulate),
        ("goodsOf", ("uint32",), VTrace.goods_of),
        ("actorOf", ("uint32",), VTrace.actor_of),
        ("name", (), VTrace.name),
    )
}
