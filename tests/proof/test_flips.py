"""A proof file has no byte that could be another: neither for an accident nor for a forger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from node.flow.proof import ProofWrong, believe, read, verify, write
from node.flow.proof.file import checksum
from tests.proof.conftest import Given

Path = tuple[str | int, ...]


def accepted(data: bytes, hashes: list[str]) -> bool:
    """Whether the proof is believed by somebody who trusts these blocks alone."""
    try:
        return believe(verify(read(data)), hashes).is_whole
    except ProofWrong:
        return False


def forged(body: dict[str, Any]) -> bytes:
    """The file of a forger, who makes the checksum anew."""
    body = {name: value for name, value in body.items() if name != "checksum"}
    body["checksum"] = checksum(body)
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where there is anything in a JSON value: members, elements, and what is in them."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


def at(body: Any, path: Path) -> Any:
    for key in path:
        body = body[key]
    return body


def changed(value: Any) -> Iterator[Any]:
    """Values like this one, but other; of a text the first, a middle and the last character are another."""
    if isinstance(value, str):
        yield ""
        yield value + "00"
        yield value.upper() if value != value.upper() else None
        for place in {0, 2, len(value) // 2, len(value) - 1} if value else ():
            other = "1" if value[place : place + 1] == "0" else "0"
            yield value[:place] + other + value[place + 1 :]
    elif isinstance(value, int):
        yield from (value + 1, value - 1, str(value), float(value), None, True)
    elif isinstance(value, list):
        yield from (value[1:], value[:-1], value + value[-1:], value[::-1], [], None, {})
    elif isinstance(value, dict):
        yield from (value | {"note": "x"}, None, [], {})


@pytest.fixture(scope="module")
def body(given: Given) -> Any:
    return json.loads(write(given.proof))


def test_the_file_itself_is_accepted(given: Given, body: Any) -> None:
    assert forged(body) == write(given.proof)
    assert accepted(write(given.proof), given.hashes)


def test_every_field_is_bound(given: Given, body: Any) -> None:
    """With the checksum made anew: what binds the field is the chain."""
    tried = 0
    for path in list(places(body)):
        if path == ("checksum",):
            continue
        holder, key = at(body, path[:-1]), path[-1]
        kept = holder[key]
        for value in changed(kept):
            if value == kept and type(value) is type(kept):
                continue  # a list that reads the same backwards
            holder[key] = value
            data = forged(body)
            assert not accepted(data, given.hashes), (path, value)
            tried += 1
        if isinstance(holder, dict):
            del holder[key]
            assert not accepted(forged(body), given.hashes), path
        holder[key] = kept
    assert tried > 500
    assert forged(body) == write(given.proof)


def test_every_part_has_its_place(given: Given, body: Any) -> None:
    """Two neighbours in an array can't be exchanged."""
    for path in list(places(body)):
        array = at(body, path)
        if not isinstance(array, list):
            continue
        for first in range(len(array) - 1):
            if array[first] == array[first + 1]:
                continue
            array[first], array[first + 1] = array[first + 1], array[first]
            assert not accepted(forged(body), given.hashes), (path, first)
            array[first], array[first + 1] = array[first + 1], array[first]
    assert forged(body) == write(given.proof)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\n",
        lambda data: b" " + data,
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b'"index":0', b'"index":-0', 1),
        lambda data: data.replace(b'"index":0', b'"index":0.0', 1),
        lambda data: data.replace(b'"index":0', b'"index":1e999', 1),
        lambda data: data.replace(b'"index":0', b'"index":' + b"9" * 5_000, 1),
        lambda data: data.replace(b'"goods_id":17', b'"goods_id":17,"goods_id":17', 1),
        lambda data: data.replace(b"\\u0001", b"\x01", 1),
        lambda data: data.replace("晾".encode(), b"\\u667e", 1),
        lambda data: data.replace("晾".encode(), b"\\ud800", 1),
        lambda data: data.replace(b"vtrace-proof/1", b"vtrace-proof/2", 1),
        lambda _: b"",
        lambda _: b"[]\n",
        lambda _: b"{}\n",
        lambda _: b"[" * 100_000,
        lambda _: b"\xff",
    ],
)
def test_there_is_one_way_to_write_a_proof(given: Given, change: Any) -> None:
    data = write(given.proof)
    other = change(data)
    assert other != data
    with pytest.raises(ProofWrong):
        read(other)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"chain_id": 0}, "chain_id: 0, want 1 to"),
        ({"chain_id": 2**63}, "want 1 to"),
        ({"goods_id": True}, "goods_id: True, want 1 to"),
        ({"contract": "0x" + "AB" * 20}, "40 lower-case hex digits"),
        ({"contract": "0x" + "ab" * 19}, "want an address"),
        ({"circs": [{"salt": "0x" + "00" * 16, "form": ""}] * 4_096}, "4096 of them, want at most 4095"),
        ({"circs": [{"salt": "0x00", "form": ""}]}, r"circs\[0\]: a salt of 1 bytes, want 16"),
        ({"circs": [{"salt": "0x" + "00" * 16, "form": "咖" * 21_846}]}, "a form of 65538 bytes, want at most 65536"),
        ({"actors": [{"actor": 0, "username": "x"}]}, r"actors\[0\].actor: 0, want 1 to 1048575"),
        ({"blocks": [{"header": "0x", "transactions": []}]}, r"blocks\[0\].header: 0x, want 0x and pairs of lower"),
        ({"blocks": []}, "blocks: there are none"),
        ({"state": "rests on a rumour"}, "want an object"),
        ({"format": "vtrace-proof/9"}, "want vtrace-proof/1"),
        ({"note": "\x1b[2J"}, "has .*note.*, which proofs don't have"),
    ],
)
def test_what_is_misshapen_is_named(body: Any, change: dict[str, Any], match: str) -> None:
    with pytest.raises(ProofWrong, match=match) as caught:
        verify(read(forged(body | change)))
    assert str(caught.value).isprintable()


def test_a_file_that_is_too_long(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.flow.proof.file.FILE_BYTES_MAX", 1_000)
    with pytest.raises(ProofWrong, match="want at most 1000"):
        read(write(given.proof))


_SETTINGS = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@_SETTINGS
@hypothesis.given(data=st.data())
def test_any_other_byte_is_refused(given: Given, data: st.DataObject) -> None:
    raw = bytearray(write(given.proof))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[place]))
    assert not accepted(bytes(raw), given.hashes)


@_SETTINGS
@hypothesis.given(data=st.data())
def test_any_other_digit_of_the_evidence_is_refused(given: Given, data: st.DataObject) -> None:
    """As above, by a forger who makes the checksum anew: headers, nodes and salts bind each other."""
    body = json.loads(write(given.proof))
    texts = [
        path
        for path in places(body)
        if path != ("checksum",) and isinstance(at(body, path), str) and at(body, path).startswith("0x")
    ]
    path = data.draw(st.sampled_from(texts))
    text = at(body, path)
    place = data.draw(st.integers(2, len(text) - 1))
    digit = data.draw(st.sampled_from("0123456789abcdef").filter(lambda digit: digit != text[place]))
    at(body, path[:-1])[path[-1]] = text[:place] + digit + text[place + 1 :]
    assert not accepted(forged(body), given.hashes)


@_SETTINGS
@hypothesis.given(junk=st.binary(max_size=200), data=st.data())
def test_junk_in_place_of_evidence_is_refused(given: Given, junk: bytes, data: st.DataObject) -> None:
    """Whatever stands where bytes are wanted is refused with ProofWrong and nothing else."""
    body = json.loads(write(given.proof))
    texts = [path for path in places(body) if isinstance(at(body, path), str) and at(body, path).startswith("0x")]
    path = data.draw(st.sampled_from(texts))
    at(body, path[:-1])[path[-1]] = "0x" + junk.hex()
    assert not accepted(forged(body), given.hashes)
