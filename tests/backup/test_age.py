"""The encryption of backups: any change is seen, and another implementation of the format reads what this one wrote."""

from __future__ import annotations

import io
import secrets

import pyrage
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.backup.age import CHUNK_BYTES, TAG_BYTES, Reader, Unreadable, Writer

PASSPHRASE = "correct horse battery"
WORK = 4
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]


def sealed(content: bytes, pieces: int = 1) -> bytes:
    out = io.BytesIO()
    writer = Writer(out, PASSPHRASE, WORK)
    step = max(1, -(-len(content) // pieces))
    for at in range(0, len(content), step):
        assert writer.write(content[at : at + step]) == len(content[at : at + step])
    writer.finish()
    return out.getvalue()


def opened(found: bytes, passphrase: str = PASSPHRASE) -> bytes:
    reader = Reader(io.BytesIO(found), passphrase)
    content = reader.read()
    assert reader.is_at_end
    return content


@pytest.mark.parametrize("size", SIZES)
def test_another_implementation_reads_the_same(size: int) -> None:
    content = secrets.token_bytes(size)
    assert pyrage.passphrase.decrypt(sealed(content, 7), PASSPHRASE) == content
    assert opened(sealed(content)) == content


@pytest.mark.parametrize("size", SIZES)
def test_a_cut_is_seen_wherever_it_is(size: int) -> None:
    whole = sealed(secrets.token_bytes(size))
    start = len(whole) - size - TAG_BYTES * max(1, -(-size // CHUNK_BYTES))
    borders = range(start, len(whole), CHUNK_BYTES + TAG_BYTES)
    for at in {*range(start), *borders, *(border + 1 for border in borders), len(whole) - 1}:
        if at < len(whole):
            with pytest.raises(Unreadable):
                opened(whole[:at])


@given(st.integers(0), st.integers(1, 255))
def test_any_changed_byte_is_seen(place: int, change: int) -> None:
    found = bytearray(WHOLE)
    found[place % len(found)] ^= change
    with pytest.raises(Unreadable):
        opened(bytes(found))


WHOLE = sealed(b"x" * (CHUNK_BYTES + 100))


def test_chunks_in_another_order_and_what_is_added_is_seen() -> None:
    start = len(WHOLE) - 100 - TAG_BYTES - CHUNK_BYTES - TAG_BYTES
    first, last = WHOLE[start : start + CHUNK_BYTES + TAG_BYTES], WHOLE[start + CHUNK_BYTES + TAG_BYTES :]
    for content in (last + first, first + first + last, first + last + last, last):
        with pytest.raises(Unreadable):
            opened(WHOLE[:start] + content)


def test_another_passphrase_and_another_format_are_told_apart() -> None:
    with pytest.raises(Unreadable, match="passphrase is another one"):
        opened(WHOLE, PASSPHRASE + "!")
    with pytest.raises(Unreadable, match="not a file encrypted with a passphrase"):
        opened(pyrage.encrypt(b"x", [pyrage.x25519.Identity.generate().to_public()]))
    with pytest.raises(Unreadable, match=r"scrypt's work is 2\^63"):
        opened(WHOLE.replace(b" 4\n", b" 63\n", 1))


def test_reads_of_any_size_give_the_content_in_order() -> None:
    content = secrets.token_bytes(2 * CHUNK_BYTES + 5)
    reader = Reader(io.BytesIO(sealed(content)), PASSPHRASE)
    found = [reader.read(n) for n in (0, 1, CHUNK_BYTES, 7, 3 * CHUNK_BYTES, 10)]
    assert b"".join(found) == content
    assert found[-1] == b""
