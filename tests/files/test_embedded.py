"""The embedded store alone: damage of every kind is found, and mended by the same content."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.domain.cid import CHUNK_BYTES
from node.files.embedded import EmbeddedFiles
from node.files.keeper import ContentDamaged, ContentMissing
from tests.files.test_keeper_suite import content, kept, whole

SIZE = 3 * CHUNK_BYTES + 100


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _change(change: Callable[[bytes], bytes], suffix: str = "") -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path = path.with_name(path.name + suffix)
        path.write_bytes(change(path.read_bytes()))

    return damage


DAMAGES: dict[str, Callable[[Path], None]] = {
    "first byte": lambda path: _flip(path, 0),
    "last byte": lambda path: _flip(path, SIZE - 1),
    "cut short": _change(lambda data: data[:-1]),
    "longer": _change(lambda data: data + b"x"),
    "empty": _change(lambda _: b""),
    "one chunk less": _change(lambda data: data[: 2 * CHUNK_BYTES]),
    "chunks of another": _change(lambda data: data[::-1], ".chunks"),
    "chunks cut short": _change(lambda data: data[:-5], ".chunks"),
    "chunks empty": _change(lambda _: b"", ".chunks"),
    "chunks longer": _change(lambda data: data + b"x", ".chunks"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_found_and_mended(tmp_path: Path, name: str) -> None:
    keeper = EmbeddedFiles(tmp_path)
    data = content(SIZE)
    cid = kept(keeper, data)
    (path,) = tmp_path.rglob(cid)
    DAMAGES[name](path)
    with pytest.raises(ContentDamaged, match=cid):
        whole(keeper, cid, SIZE)
    kept(keeper, data)
    assert whole(keeper, cid, SIZE) == data


@pytest.mark.parametrize("size", [0, 1, 5_000, CHUNK_BYTES])
@pytest.mark.parametrize("change", [lambda data: data + b"x", lambda data: b"y" + data[1:]])
def test_damage_of_a_small_file_is_found(tmp_path: Path, size: int, change: Callable[[bytes], bytes]) -> None:
    keeper = EmbeddedFiles(tmp_path)
    cid = kept(keeper, content(size))
    (path,) = tmp_path.rglob(cid)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ContentDamaged):
        whole(keeper, cid, size)


def test_only_the_damaged_chunk_is_refused(tmp_path: Path) -> None:
    keeper = EmbeddedFiles(tmp_path)
    data = content(SIZE)
    cid = kept(keeper, data)
    (path,) = tmp_path.rglob(cid)
    _flip(path, CHUNK_BYTES + 5)
    assert b"".join(keeper.read(cid, 0, CHUNK_BYTES)) == data[:CHUNK_BYTES]
    assert b"".join(keeper.read(cid, 2 * CHUNK_BYTES, SIZE)) == data[2 * CHUNK_BYTES :]
    with pytest.raises(ContentDamaged):
        list(keeper.read(cid, CHUNK_BYTES, CHUNK_BYTES + 1))


@pytest.mark.parametrize("suffix", ["", ".chunks"])
def test_what_is_not_there_is_missing(tmp_path: Path, suffix: str) -> None:
    keeper = EmbeddedFiles(tmp_path)
    cid = kept(keeper, content(SIZE))
    (path,) = tmp_path.rglob(cid + suffix)
    path.unlink()
    with pytest.raises(ContentMissing):
        whole(keeper, cid, SIZE)
