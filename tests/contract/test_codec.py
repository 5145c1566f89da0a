"""The codec, held against independent ones: eth-account's typed data and eth-abi."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from eth_account.messages import _hash_eip191_message, encode_typed_data
from eth_utils import keccak
from hypothesis import given
from hypothesis import strategies as st

from node.chain import contract
from node.domain.custody import CustodyError
from node.domain.model import Circ, CircType, Range

from .ledger import CHAIN_ID, STRANGER, Ledger, address_of

ADDRESS = address_of(STRANGER)
UINT32 = st.integers(0, 2**32 - 1)
CIRCS = st.builds(
    Circ,
    goods=st.lists(st.builds(Range, UINT32, UINT32), max_size=5).map(tuple),
    circ_type=st.sampled_from(CircType),
    operator=UINT32,
    to=UINT32,
    form_digest=st.binary(min_size=32, max_size=32),
    version=st.integers(0, 2**256 - 1),
)
DOMAIN = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]


def typed(kind: str, types: dict[str, str], message: dict[str, object], chain_id: int) -> bytes:
    """The digest as eth-account computes it; ``types`` are written as in the contract."""
    fields = {
        name: [dict(zip(("type", "name"), field.split(), strict=True)) for field in text.split(",")]
        for name, text in types.items()
    }
    domain = {"name": "VTrace", "version": "1", "chainId": chain_id, "verifyingContract": ADDRESS}
    return _hash_eip191_message(
        encode_typed_data(
            full_message={
                "types": {"EIP712Domain": DOMAIN, **fields},
                "primaryType": kind,
                "domain": domain,
                "message": message,
            }
        )
    )


@given(circ=CIRCS, chain_id=st.integers(1, 2**64))
def test_circ_digest(circ: Circ, chain_id: int) -> None:
    types = {
        "Circ": "Range[] goods,uint8 circType,uint32 operator,uint32 to,bytes32 formDigest,uint256 version",
        "Range": "uint32 first,uint32 count",
    }
    message = {
        "goods": [{"first": span.first, "count": span.count} for span in circ.goods],
        "circType": int(circ.circ_type),
        "operator": circ.operator,
        "to": circ.to,
        "formDigest": circ.form_digest,
        "version": circ.version,
    }
    assert contract.circ_digest(chain_id, ADDRESS, circ) == typed("Circ", types, message, chain_id)


def test_account_digest() -> None:
    expected = typed("Account", {"Account": "uint32 actor,address account"}, {"actor": 7, "account": ADDRESS}, 5)
    assert contract.account_digest(5, ADDRESS, 7, ADDRESS) == expected


@given(circ=CIRCS, signature=st.binary(max_size=100))
def test_circulate_data(circ: Circ, signature: bytes) -> None:
    data = contract.circulate_data(circ, signature)
    kinds = ("(uint32,uint32)[]", "uint8", "uint32", "uint32", "bytes32", "uint256", "bytes")
    goods = [(span.first, span.count) for span in circ.goods]
    values = (goods, circ.circ_type, circ.operator, circ.to, circ.form_digest, circ.version, signature)
    assert data[4:] == encode(kinds, values)
    assert contract.decode_circulate(data) == (circ, signature)


@pytest.mark.parametrize("cut_at", [0, 3, 4, 100, 300])
def test_decode_circulate_refuses_other_data(cut_at: int) -> None:
    circ = Circ((Range(1, 2),), CircType.EXAM, 1, 1, bytes(32), 0)
    with pytest.raises(ValueError, match="not a call of circulate"):
        contract.decode_circulate(contract.circulate_data(circ, bytes(65))[:cut_at])


def test_decode_circulate_refuses_an_unknown_kind() -> None:
    circ = Circ((Range(1, 2),), 2, 1, 1, bytes(32), 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="2 is not a valid CircType"):
        contract.decode_circulate(contract.circulate_data(circ, bytes(65)))


@given(circ=CIRCS)
def test_decode_circulated(circ: Circ) -> None:
    goods = [(span.first, span.count) for span in circ.goods]
    data = encode(("bytes32", "uint256", "(uint32,uint32)[]"), (circ.form_digest, circ.version, goods))
    indexed = [number.to_bytes(32, "big") for number in (circ.operator, circ.to, circ.circ_type)]
    topics = [contract.CIRCULATED_TOPIC, *indexed]
    assert contract.decode_log(topics, data) == contract.Circulated(circ)
    for malformed in (data[:-1], data + bytes(32), data[:64] + bytes(32) + data[96:], b""):
        with pytest.raises(ValueError, match=r".+"):
            contract.decode_log(topics, malformed)


def test_decode_log_leaves_other_events_alone() -> None:
    assert contract.decode_log([], b"") is None
    assert contract.decode_log([keccak(text="RoleGranted(bytes32,address,address)")], b"") is None


def test_topics_and_types_are_those_of_the_abi() -> None:
    topics = {
        "Circulated": contract.CIRCULATED_TOPIC,
        "ActorRegistered": contract.ACTOR_REGISTERED_TOPIC,
        "AccountChanged": contract.ACCOUNT_CHANGED_TOPIC,
        "RightsChanged": contract.RIGHTS_CHANGED_TOPIC,
    }
    found = {}
    for entry in contract.artifact()["abi"]:
        if entry["type"] == "event" and entry["name"] in topics:
            kinds = [_type_of(given) for given in entry["inputs"]]
            found[entry["name"]] = keccak(text=f"{entry['name']}({','.join(kinds)})")
    assert found == topics


def _type_of(given: dict[str, object]) -> str:
    components = given.get("components")
    if not components:
        return str(given["type"])
    inner = ",".join(_type_of(component) for component in components)  # type: ignore[attr-defined]
    return str(given["type"]).replace("tuple", f"({inner})")


def test_decode_error_speaks_like_the_rules() -> None:
    data = keccak(text="NotHolder(uint32,uint32,uint32)")[:4] + encode(("uint32",) * 3, (3, 2, 1))
    assert contract.decode_error(data) == "NotHolder(goodsId=3, holder=2, operator=1)"
    assert contract.decode_error(data) == str(CustodyError("NotHolder", goodsId=3, holder=2, operator=1))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "reverted without a reason"),
        (b"\x01\x02\x03\x04\x05", "unknown error 0x0102030405"),
        (keccak(text="Error(string)")[:4] + encode(("string",), ("no",)), "Error(reason=no)"),
        (keccak(text="Panic(uint256)")[:4] + encode(("uint256",), (17,)), "Panic(code=17)"),
        (keccak(text="Panic(uint256)")[:4], "malformed error Panic 0x4e487b71"),
    ],
)
def test_decode_error_knows_the_rest(data: bytes, expected: str) -> None:
    assert contract.decode_error(data) == expected


def test_code_matches_only_the_contract(ledger: Ledger) -> None:
    code = ledger.code()
    assert contract.code_matches(code)
    assert contract.code_matches(code, CHAIN_ID, ledger.address)
    assert not contract.code_matches(b"")
    assert not contract.code_matches(code + b"\0")
    assert not contract.code_matches(bytes([code[0] ^ 1]) + code[1:])


def test_code_that_answers_for_another_domain_is_found_out(ledger: Ledger) -> None:
    code = ledger.code()
    assert not contract.code_matches(code, CHAIN_ID + 1, ledger.address)
    assert not contract.code_matches(code, CHAIN_ID, ADDRESS)
    for place in contract.artifact()["runtime"]["immutables"]:
        at = place["start"] + place["length"] - 1
        forged = code[:at] + bytes([code[at] ^ 1]) + code[at + 1 :]
        assert not contract.code_matches(forged, CHAIN_ID, ledger.address)
        assert contract.code_matches(forged)
