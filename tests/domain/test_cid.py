"""CIDs and the tree of a file, against a judge that knows nothing of ours."""

from __future__ import annotations

import contextlib
import hashlib
import random

import pytest
from aleph_cid import CidHasher
from hypothesis import given
from hypothesis import strategies as st

from node.domain import cid as cids
from node.domain.cid import CHUNK_BYTES, DAG_PB, LINKS_MAX, RAW, BadNode, Cid, Link, NoCid

EMPTY = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"


def test_the_empty_file_has_the_cid_that_everybody_knows() -> None:
    assert str(cids.of_raw(b"")) == EMPTY
    assert cids.parse(EMPTY) == Cid(RAW, hashlib.sha256(b"").digest())


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, LINKS_MAX * CHUNK_BYTES, 46 * 1024 * 1024])
def test_the_digests_of_the_chunks_give_the_cid(size: int) -> None:
    data = random.Random(size).randbytes(size)
    judge = CidHasher.for_ipfs_v1_raw_leaves()
    judge.update(data)
    chunks = [data[at : at + CHUNK_BYTES] for at in range(0, max(size, 1), CHUNK_BYTES)]
    assert str(cids.of_chunks([hashlib.sha256(chunk).digest() for chunk in chunks], size)) == judge.finalize()


@pytest.mark.parametrize(("chunks", "size"), [(0, 0), (2, CHUNK_BYTES), (1, CHUNK_BYTES + 1), (3, 0)])
def test_chunks_that_do_not_make_the_size_are_refused(chunks: int, size: int) -> None:
    with pytest.raises(ValueError, match="don't make"):
        cids.of_chunks([bytes(32)] * chunks, size)


@given(st.binary(min_size=32, max_size=32), st.sampled_from([RAW, DAG_PB]))
def test_a_cid_is_read_as_it_was_written(digest: bytes, codec: int) -> None:
    written = str(Cid(codec, digest))
    assert len(written) == cids.CID_LENGTH
    assert cids.parse(written) == Cid(codec, digest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        EMPTY.upper(),
        EMPTY[:-1],
        EMPTY + "a",
        EMPTY + "\n",
        EMPTY[:-1] + "v",  # bits behind the end
        "b" + "a" * 58,
        "Qm" + "a" * 44,
        "zdj7WY6o3K23wQWuuXH2Z69ceBJSfaW7cSDxAsag9CQkk8dt3",
        "../../../etc/passwd",
        "b" * 100_000_000,
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyk\u0131",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_what_is_no_cid_is_refused(text: str) -> None:
    with pytest.raises(NoCid):
        cids.parse(text)


def test_children_are_read_as_they_were_written() -> None:
    children = [Link(Cid(RAW, bytes([number]) * 32), 262_144, 262_144) for number in range(LINKS_MAX)]
    assert cids.children_of(cids.node_of(children)) == children


@given(st.binary(max_size=300))
def test_any_bytes_are_children_or_a_bad_node(block: bytes) -> None:
    with contextlib.suppress(BadNode):
        assert cids.children_of(block)


@given(st.data())
def test_a_changed_node_never_escapes(data: st.DataObject) -> None:
    block = bytearray(cids.node_of([Link(Cid(RAW, bytes(32)), 5, 5)] * 3))
    at = data.draw(st.integers(0, len(block) - 1))
    block[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(BadNode):
        cids.children_of(bytes(block[: data.draw(st.integers(0, len(block)))]))
