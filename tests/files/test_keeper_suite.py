"""What every store of files does: the embedded one and one behind a real IPFS daemon."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aleph_cid import CidHasher

from node.domain.cid import CHUNK_BYTES, LINKS_MAX
from node.files.keeper import FileKeeper
from tests.files.conftest import Opener

MIB = 1024 * 1024
SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 5 * MIB, LINKS_MAX * CHUNK_BYTES + 1, 64 * MIB]


def content(size: int, seed: int = 1) -> bytes:
    return random.Random(f"{seed} {size}").randbytes(size)


def cut(data: bytes, piece: int = 1_000_003) -> Iterator[bytes]:
    return (data[at : at + piece] for at in range(0, len(data), piece))


def kept(keeper: FileKeeper, data: bytes) -> str:
    """Keep ``data``; answers its CID."""
    part = keeper.stage(cut(data))
    recorded: list[str] = []
    keeper.keep(part, lambda: recorded.append(part.cid))
    assert recorded == [part.cid]
    assert part.size == len(data)
    return part.cid


def whole(keeper: FileKeeper, cid: str, size: int) -> bytes:
    return b"".join(keeper.read(cid, 0, size))


def left(home: Path) -> list[str]:
    """The files under way."""
    return [path.name for path in (home / "files" / "parts").iterdir()]


@pytest.mark.parametrize("size", SIZES)
def test_what_goes_in_comes_out_under_the_cid_that_ipfs_gives(keeper: FileKeeper, size: int, tmp_path: Path) -> None:
    """The daemon's store compares its CID with ours in ``keep``, so here it says what the CIDs are."""
    data = content(size)
    cid = kept(keeper, data)
    judge = CidHasher.for_ipfs_v1_raw_leaves()
    judge.update(data)
    assert cid == judge.finalize()
    assert whole(keeper, cid, size) == data
    assert left(tmp_path) == []


RANGES = [(0, 1), (1, CHUNK_BYTES), (CHUNK_BYTES - 1, CHUNK_BYTES + 1), (CHUNK_BYTES, 2 * CHUNK_BYTES), (0, 700_000)]
RANGES += [(2 * CHUNK_BYTES, 700_000), (699_999, 700_000), (300_000, 300_000)]


@pytest.mark.parametrize(("start", "end"), RANGES)
def test_a_range_is_read_alone(keeper: FileKeeper, start: int, end: int) -> None:
    data = content(700_000)
    cid = kept(keeper, data)
    assert b"".join(keeper.read(cid, start, end)) == data[start:end]


def test_a_range_of_a_tree_of_two_layers(keeper: FileKeeper) -> None:
    data = content((LINKS_MAX + 3) * CHUNK_BYTES + 17)
    cid = kept(keeper, data)
    for start in (0, LINKS_MAX * CHUNK_BYTES - 5, LINKS_MAX * CHUNK_BYTES, len(data) - 10):
        assert b"".join(keeper.read(cid, start, start + 10)) == data[start : start + 10]


def test_the_same_content_twice_is_one(keeper: FileKeeper, tmp_path: Path) -> None:
    data = content(600_000)
    cid = kept(keeper, data)
    before = sorted((tmp_path / "files").rglob("*"))
    assert kept(keeper, data) == cid
    assert sorted((tmp_path / "files").rglob("*")) == before
    assert whole(keeper, cid, len(data)) == data


def test_the_same_content_by_many_at_once_is_one(keeper: FileKeeper, tmp_path: Path) -> None:
    data, cids = content(600_000, seed=7), []
    threads = [threading.Thread(target=lambda: cids.append(kept(keeper, data))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(cids) == 6
    assert len(set(cids)) == 1
    assert whole(keeper, cids[0], len(data)) == data
    assert left(tmp_path) == []


class Nobody(Exception):
    """A stream or a record that fails."""


def _broken(data: bytes) -> Iterator[bytes]:
    yield from cut(data)
    raise Nobody


def test_a_stream_that_breaks_leaves_nothing(keeper: FileKeeper, tmp_path: Path) -> None:
    with pytest.raises(Nobody):
        keeper.stage(_broken(content(600_000)))
    assert left(tmp_path) == []


def test_a_discarded_part_leaves_nothing(keeper: FileKeeper, tmp_path: Path) -> None:
    keeper.discard(keeper.stage(cut(content(600_000))))
    assert left(tmp_path) == []


def _fails() -> None:
    raise Nobody


def _pinned_or_placed(keeper: FileKeeper, home: Path, cid: str) -> bool:
    from node.files import kubo

    if isinstance(keeper, kubo.KuboFiles):
        with keeper._asking() as client:
            return kubo._is_pinned(client, cid)
    return any(path.name.startswith(cid) for path in (home / "files").rglob("*"))


def test_a_record_that_fails_keeps_nothing(keeper: FileKeeper, tmp_path: Path) -> None:
    part = keeper.stage(cut(content(600_000, seed=2)))
    with pytest.raises(Nobody):
        keeper.keep(part, _fails)
    assert left(tmp_path) == []
    assert not _pinned_or_placed(keeper, tmp_path, part.cid)


def test_a_record_that_fails_leaves_what_was_there(keeper: FileKeeper, tmp_path: Path) -> None:
    data = content(600_000, seed=3)
    cid = kept(keeper, data)
    part = keeper.stage(cut(data))
    with pytest.raises(Nobody):
        keeper.keep(part, _fails)
    assert whole(keeper, cid, len(data)) == data
    assert _pinned_or_placed(keeper, tmp_path, cid)


class Killed(BaseException):
    """The end of the process, as near as one process can play it."""


@pytest.mark.parametrize("is_recorded", [False, True])
def test_an_end_in_the_middle_is_mended_at_the_next_start(opener: Opener, tmp_path: Path, is_recorded: bool) -> None:
    """Everything that stands in the folder of parts while the index is written stands there after the end."""
    data = content(600_000, seed=4 + is_recorded)
    keeper = opener()
    part = keeper.stage(cut(data))
    saved: dict[str, bytes] = {}

    def killed() -> None:
        folder = tmp_path / "files" / "parts"
        saved.update({path.name: path.read_bytes() for path in folder.iterdir()})
        if not is_recorded:
            raise Killed

    if is_recorded:
        keeper.keep(part, killed)
    else:
        with pytest.raises(Killed):
            keeper.keep(part, killed)
    assert saved
    for name, held in saved.items():
        (tmp_path / "files" / "parts" / name).write_bytes(held)
    keeper.close()
    again = opener()
    again.recover(lambda cid: is_recorded and cid == part.cid)
    assert left(tmp_path) == []
    assert _pinned_or_placed(again, tmp_path, part.cid) is is_recorded
    if is_recorded:
        assert whole(again, part.cid, len(data)) == data


def test_parts_of_an_ended_node_are_removed(opener: Opener, tmp_path: Path) -> None:
    opener()
    (tmp_path / "files" / "parts" / "0123.part").write_bytes(b"half of a file")
    opener().recover(lambda _: True)
    assert left(tmp_path) == []


def test_what_another_process_takes_in_is_left_alone(opener: Opener) -> None:
    first, second = opener(), opener()
    data = content(600_000)
    part = first.stage(cut(data))
    ended = second.stage(cut(data))
    second.close()
    other = opener()
    other.recover(lambda _: False)
    assert part.path.exists()
    assert not ended.path.exists()
    first.keep(part, lambda: None)
    assert whole(other, part.cid, len(data)) == data
