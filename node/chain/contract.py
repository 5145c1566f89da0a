"""The contract as bytes: calls, digests, events and errors. No chain is asked here.

Addresses are checksum strings, hashes and digests ``bytes``. The artifact beside this file is made by
``scripts/compile_contracts.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Any, Final

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.address import to_canonical_address, to_checksum_address

from node.chain.keccak import keccak
from node.domain.model import Circ, CircType, Range, Rights

NAME: Final = "VTrace"
VERSION: Final = "1"


# The artifact


@cache
def artifact() -> Mapping[str, Any]:
    """The compiled contract: ``abi``, ``bytecode``, ``runtime``, ``storage``, ``compiler``, ``sources``."""
    text = resources.files(__package__).joinpath("VTrace.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def code_matches(runtime_code: bytes, chain_id: int | None = None, address: str | None = None) -> bool:
    """Whether code found on a chain is the contract's.

    The constructor writes a few values (immutables) into the code. They are compared too if ``chain_id`` and
    ``address`` say where the code was found; without them such code may still answer for another domain.
    """
    runtime = artifact()["runtime"]
    if len(runtime_code) != runtime["length"]:
        return False
    expected = None if chain_id is None or address is None else _immutables(chain_id, address)
    code = bytearray(runtime_code)
    for place in runtime["immutables"]:
        span = slice(place["start"], place["start"] + place["length"])
        if expected is not None and code[span] != expected[place["name"]]:
            return False
        code[span] = bytes(place["length"])
    return bool(keccak(bytes(code)).hex() == runtime["codeHash"].removeprefix("0x"))


def runtime_code(chain_id: int, address: str) -> bytes:
    """The contract's code as it stands at an address of a chain."""
    code = bytearray(_runtime_template())
    values = _immutables(chain_id, address)
    for place in artifact()["runtime"]["immutables"]:
        code[place["start"] : place["start"] + place["length"]] = values[place["name"]]
    return bytes(code)


@cache
def _runtime_template() -> bytes:
    """The code that creation leaves behind, from within the code that creates; its immutables are zero."""
    created, runtime = bytes.fromhex(artifact()["bytecode"][2:]), artifact()["runtime"]
    for start in range(len(created) - runtime["length"], -1, -1):
        code = created[start : start + runtime["length"]]
        if "0x" + keccak(code).hex() == runtime["codeHash"]:
            return code
    raise AssertionError("the artifact's runtime code is not within its bytecode")


def code_hash(runtime_code: bytes) -> str:
    """The hash of code as it stands on a chain, as EXTCODEHASH has it: ``0x`` + 64 hex digits."""
    return "0x" + keccak(runtime_code).hex()


def _immutables(chain_id: int, address: str) -> dict[str, bytes]:
    name, version = NAME.encode(), VERSION.encode()
    return {
        "_cachedDomainSeparator": _domain_separator(chain_id, address),
        "_cachedChainId": _word(chain_id),
        "_cachedThis": _address_word(address),
        "_hashedName": keccak(name),
        "_hashedVersion": keccak(version),
        # OpenZeppelin's ShortString: the bytes from the left, their number in the last byte.
        "_domain": _domain_separator(chain_id, address),
        "_domainChainId": _word(chain_id),
        "_name": name.ljust(31, b"\0") + bytes([len(name)]),
        "_version": version.ljust(31, b"\0") + bytes([len(version)]),
    }


# Words


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big")


def _address_word(address: str) -> bytes:
    return bytes(12) + to_canonical_address(address)


def _selector(signature: str) -> bytes:
    return keccak(signature.encode())[:4]


# Calls

_CIRCULATE_TYPES: Final = ("(uint32,uint32)[]", "uint8", "uint32", "uint32", "bytes32", "uint256", "bytes")
_CIRCULATE: Final = _selector(f"circulate({','.join(_CIRCULATE_TYPES)})")
_REGISTER_ACTOR: Final = _selector("registerActor(address,uint8,bytes32)")
_SET_RIGHTS: Final = _selector("setRights(uint32,uint8)")
_SET_ACCOUNT: Final = _selector("setAccount(uint32,address,bytes)")
_GOODS_OF: Final = _selector("goodsOf(uint32)")
_ACTOR_OF: Final = _selector("actorOf(uint32)")
_NAME: Final = _selector("name()")


def deploy_data(admin: str, registrar: str) -> bytes:
    """The data of the transaction that creates the contract."""
    return bytes.fromhex(artifact()["bytecode"][2:]) + _address_word(admin) + _address_word(registrar)


def circulate_data(circ: Circ, signature: bytes) -> bytes:
    """The data of a call of ``circulate``."""
    goods = _goods_words(circ.goods)
    head = (7 * 32, circ.circ_type, circ.operator, circ.to)
    return b"".join(
        (
            _CIRCULATE,
            *map(_word, head),
            circ.form_digest,
            _word(circ.version),
            _word(7 * 32 + 32 + len(goods)),
            _word(len(circ.goods)),
            goods,
            _word(len(signature)),
            signature + bytes(-len(signature) % 32),
        )
    )


def is_circulate(data: bytes) -> bool:
    """Whether the data of a call asks for ``circulate``."""
    return data[:4] == _CIRCULATE


def decode_circulate(data: bytes) -> tuple[Circ, bytes]:
    """The circ and its signature from the data of a call of ``circulate``; ValueError if it is no such call."""
    if data[:4] != _CIRCULATE:
        raise ValueError("not a call of circulate")
    try:
        goods, circ_type, operator, to, form_digest, version, signature = decode(
            _CIRCULATE_TYPES, data[4:], strict=False
        )
    except (DecodingError, OverflowError) as error:
        raise ValueError(f"not a call of circulate: {error}") from None
    ranges = tuple(Range(first, count) for first, count in goods)
    return Circ(ranges, CircType(circ_type), operator, to, form_digest, version), signature


def form_digest_of(data: bytes) -> bytes | None:
    """The digest that a call of ``circulate`` names, without a look at the rest of it; None for another call."""
    return data[4 + 4 * 32 : 4 + 5 * 32] if data[:4] == _CIRCULATE and len(data) >= 4 + 7 * 32 else None


def register_actor_data(account: str, rights: Rights, name_digest: bytes) -> bytes:
    """The data of a call of ``registerActor``."""
    return _REGISTER_ACTOR + _address_word(account) + _word(rights) + name_digest


def set_rights_data(actor: int, rights: Rights) -> bytes:
    """The data of a call of ``setRights``."""
    return _SET_RIGHTS + _word(actor) + _word(rights)


def decode_set_rights(data: bytes) -> tuple[int, Rights] | None:
    """Actor and rights from the data of a call of ``setRights``; None if it is no such call."""
    if data[:4] != _SET_RIGHTS or len(data) != 4 + 2 * 32:
        return None
    actor, rights = _words(data[4:], 2)
    return actor, Rights(rights)


def set_account_data(actor: int, account: str, possession: bytes = b"") -> bytes:
    """The data of a call of ``setAccount``."""
    return _SET_ACCOUNT + encode(("uint32", "address", "bytes"), (actor, account, possession))


def decode_set_account(data: bytes) -> tuple[int, str] | None:
    """Actor and account from the data of a call of ``setAccount``; None if it is no such call."""
    if data[:4] != _SET_ACCOUNT or len(data) < 4 + 2 * 32:
        return None
    actor, account = _words(data[4 : 4 + 2 * 32], 2)
    return actor, _address(account)


def goods_of_data(goods_id: int) -> bytes:
    """The data of a call of ``goodsOf``."""
    return _GOODS_OF + _word(goods_id)


def decode_goods_of(output: bytes) -> tuple[int, int]:
    """Holder and times, from what ``goodsOf`` returns."""
    holder, times = _words(output, 2)
    return holder, times


def actor_of_data(actor: int) -> bytes:
    """The data of a call of ``actorOf``."""
    return _ACTOR_OF + _word(actor)


def decode_actor_of(output: bytes) -> tuple[str, Rights] | None:
    """Account and rights, from what ``actorOf`` returns; None if the actor is not registered."""
    account, rights = _words(output, 2)
    return (_address(account), Rights(rights)) if account else None


def name_data() -> bytes:
    """The data of a call of ``name``."""
    return _NAME


def decode_name(output: bytes) -> str:
    """The contract's name, from what ``name`` returns."""
    try:
        (name,) = decode(("string",), output)
    except (DecodingError, OverflowError, UnicodeDecodeError) as error:
        raise ValueError(f"not a name: {error}") from None
    return str(name)


# EIP-1271: what a contract is asked whether a signature is its own

_IS_VALID_SIGNATURE: Final = _selector("isValidSignature(bytes32,bytes)")


def is_valid_signature_data(digest: bytes, signature: bytes) -> bytes:
    """The data of a call of ``isValidSignature``."""
    return _IS_VALID_SIGNATURE + encode(("bytes32", "bytes"), (digest, signature))


def is_valid(output: bytes) -> bool:
    """Whether what ``isValidSignature`` returns says so. The contract reads the first word alone."""
    return len(output) >= 32 and output[:32] == _IS_VALID_SIGNATURE + bytes(28)


def _goods_words(goods: Sequence[Range]) -> bytes:
    return b"".join(_word(number) for span in goods for number in (span.first, span.count))


def _words(data: bytes, count: int) -> list[int]:
    if len(data) != 32 * count:
        raise ValueError(f"{len(data)} bytes where {32 * count} were expected")
    return [int.from_bytes(data[at : at + 32], "big") for at in range(0, len(data), 32)]


def _address(word: int) -> str:
    return to_checksum_address(word.to_bytes(20, "big"))


# Digests (EIP-712)

_RANGE_TYPE: Final = b"Range(uint32 first,uint32 count)"
_RANGE_TYPE_HASH: Final = keccak(_RANGE_TYPE)
_CIRC_TYPE_HASH: Final = keccak(
    b"Circ(Range[] goods,uint8 circType,uint32 operator,uint32 to,bytes32 formDigest,uint256 version)" + _RANGE_TYPE
)
_ACCOUNT_TYPE_HASH: Final = keccak(b"Account(uint32 actor,address account)")
_DOMAIN_TYPE_HASH: Final = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")


def circ_digest(chain_id: int, contract_address: str, circ: Circ) -> bytes:
    """The 32 bytes that the operator of a circ signs."""
    return keccak(circ_message(chain_id, contract_address, circ))


def circ_message(chain_id: int, contract_address: str, circ: Circ) -> bytes:
    """The bytes of which ``circ_digest`` is the hash."""
    goods_hash = keccak(
        b"".join(keccak(_RANGE_TYPE_HASH + _word(span.first) + _word(span.count)) for span in circ.goods)
    )
    message = b"".join(
        (
            _CIRC_TYPE_HASH,
            goods_hash,
            _word(circ.circ_type),
            _word(circ.operator),
            _word(circ.to),
            circ.form_digest,
            _word(circ.version),
        )
    )
    return _message(chain_id, contract_address, message)


def account_digest(chain_id: int, contract_address: str, actor: int, account: str) -> bytes:
    """The 32 bytes that a new account of an actor signs to prove possession."""
    return keccak(account_message(chain_id, contract_address, actor, account))


def account_message(chain_id: int, contract_address: str, actor: int, account: str) -> bytes:
    """The bytes of which ``account_digest`` is the hash."""
    return _message(chain_id, contract_address, _ACCOUNT_TYPE_HASH + _word(actor) + _address_word(account))


def _message(chain_id: int, contract_address: str, struct: bytes) -> bytes:
    return b"\x19\x01" + _domain_separator(chain_id, contract_address) + keccak(struct)


@lru_cache(maxsize=16)
def _domain_separator(chain_id: int, contract_address: str) -> bytes:
    return keccak(
        _DOMAIN_TYPE_HASH
        + keccak(NAME.encode())
        + keccak(VERSION.encode())
        + _word(chain_id)
        + _address_word(contract_address)
    )


# Events

CIRCULATED_TOPIC: Final = keccak(b"Circulated(uint32,uint32,uint8,bytes32,uint256,(uint32,uint32)[])")
ACTOR_REGISTERED_TOPIC: Final = keccak(b"ActorRegistered(uint32,address,uint8,bytes32)")
ACCOUNT_CHANGED_TOPIC: Final = keccak(b"AccountChanged(uint32,address,bool)")
RIGHTS_CHANGED_TOPIC: Final = keccak(b"RightsChanged(uint32,uint8)")


@dataclass(frozen=True, slots=True)
class Circulated:
    """A circ was taken."""

    circ: Circ


@dataclass(frozen=True, slots=True)
class ActorRegistered:
    """An actor was registered."""

    actor: int
    account: str
    rights: Rights
    name_digest: bytes


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """Another account speaks for an actor."""

    actor: int
    account: str
    sovereign: bool


@dataclass(frozen=True, slots=True)
class RightsChanged:
    """The rights of an actor were replaced."""

    actor: int
    rights: Rights


Event = Circulated | ActorRegistered | AccountChanged | RightsChanged


def decode_log(topics: Sequence[bytes], data: bytes) -> Event | None:
    """The event in a log of the contract, None for an event of another kind; ValueError if it is malformed.

    Anyone can emit such a log: look first that the contract did.
    """
    if not topics:
        return None
    indexed = [int.from_bytes(topic, "big") for topic in topics[1:]]
    match bytes(topics[0]):
        case topic if topic == CIRCULATED_TOPIC:
            operator, to, circ_type = indexed
            form_digest, version, goods = _decode_circulated(bytes(data))
            return Circulated(Circ(goods, CircType(circ_type), operator, to, form_digest, version))
        case topic if topic == ACTOR_REGISTERED_TOPIC:
            (actor,) = indexed
            account, rights, _ = _words(data, 3)
            return ActorRegistered(actor, _address(account), Rights(rights), bytes(data[64:]))
        case topic if topic == ACCOUNT_CHANGED_TOPIC:
            (actor,) = indexed
            account, sovereign = _words(data, 2)
            return AccountChanged(actor, _address(account), bool(sovereign))
        case topic if topic == RIGHTS_CHANGED_TOPIC:
            (actor,) = indexed
            (rights,) = _words(data, 1)
            return RightsChanged(actor, Rights(rights))
    return None


def _decode_circulated(data: bytes) -> tuple[bytes, int, tuple[Range, ...]]:
    # The compiler's own encoding is the only one that an event can have: digest, version, 96, number, ranges.
    _, version, offset, count = _words(data[:128], 4)
    if offset != 96 or len(data) != 128 + 64 * count:
        raise ValueError(f"not the data of Circulated: {len(data)} bytes for {count} ranges at {offset}")
    numbers = iter(_words(data[128:], 2 * count))
    return data[:32], version, tuple(map(Range, numbers, numbers))


# Errors

_ErrorKind = tuple[str, tuple[tuple[str, str], ...]]
"""An error's name, and the names and types of its arguments."""

_BUILT_IN_ERRORS: Final[Mapping[bytes, _ErrorKind]] = {
    _selector("Error(string)"): ("Error", (("reason", "string"),)),
    _selector("Panic(uint256)"): ("Panic", (("code", "uint256"),)),
}


def decode_error(data: bytes) -> str:
    """What a reverted call returned, in words: ``NotHolder(goodsId=3, holder=2, operator=1)``."""
    known = _errors().get(bytes(data[:4]))
    if known is None:
        return f"unknown error 0x{data.hex()}" if data else "reverted without a reason"
    name, parameters = known
    try:
        values = decode([kind for _, kind in parameters], data[4:])
    except (DecodingError, OverflowError, UnicodeDecodeError):
        return f"malformed error {name} 0x{data.hex()}"
    arguments = []
    for (parameter, kind), value in zip(parameters, values, strict=True):
        shown = f"0x{value.hex()}" if isinstance(value, bytes) else value
        arguments.append(f"{parameter}={to_checksum_address(shown) if kind == 'address' else shown}")
    return f"{name}({', '.join(arguments)})"


@cache
def _errors() -> Mapping[bytes, _ErrorKind]:
    found = dict(_BUILT_IN_ERRORS)
    for entry in artifact()["abi"]:
        if entry["type"] == "error":
            parameters = tuple((given["name"], given["type"]) for given in entry["inputs"])
            selector = _selector(f"{entry['name']}({','.join(kind for _, kind in parameters)})")
            found[selector] = (entry["name"], parameters)
    return found
