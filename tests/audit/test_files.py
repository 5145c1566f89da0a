"""The files that circs name: each is fetched once, and its bytes must give its CID."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.domain import cid as cids
from node.domain.cid import CHUNK_BYTES, ChunkDigests
from node.files.keeper import ContentMissing, KeeperUnavailable
from node.flow.audit import AuditImpossible, Auditor, Report, What
from tests.audit.world import EXAM, FORM, PRODUCE, World, new_world


def cid_of(data: bytes) -> str:
    digests = ChunkDigests()
    digests.update(data)
    return str(cids.of_chunks(digests.finish(), len(data)))


SMALL, LARGE = b"cup score sheet", bytes(range(256)) * 4_000
SMALL_CID, LARGE_CID = cid_of(SMALL), cid_of(LARGE)


class Source:
    """Gives files; what is an exception is raised."""

    def __init__(self, **changed: bytes | Exception) -> None:
        self.content: dict[str, bytes | Exception] = {SMALL_CID: SMALL, LARGE_CID: LARGE, **changed}
        self.asked: list[str] = []

    def read(self, cid: str) -> Iterator[bytes]:
        self.asked.append(cid)
        found = self.content[cid]
        if isinstance(found, Exception):
            raise found
        for at in range(0, len(found), 100_000):
            yield found[at : at + 100_000]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    with new_world(tmp_path) as made:
        made.circulate([1, 2], PRODUCE, "coop", form=FORM.to_bytes())
        form = {"sheet": f"ipfs://{SMALL_CID}", "photos": [f"http://127.0.0.1:8080/ipfs/{LARGE_CID}"]}
        for goods_id in (1, 2):
            made.circulate([goods_id], EXAM, "coop", form=json.dumps(form).encode())
            made.view.change(goods_id, 1, files=(SMALL_CID, LARGE_CID))
        yield made


def audited(world: World, source: Source | None) -> Report:
    return Auditor(world.view, world.chain, world.address, files=source).audit([1, 2])


def test_files_that_are_as_they_should_be(own: World) -> None:
    source = Source()
    assert audited(own, source).differences == ()
    assert source.asked == [SMALL_CID, LARGE_CID]


def test_without_a_source_they_are_only_counted(own: World) -> None:
    auditor = Auditor(own.view, own.chain, own.address)
    assert auditor.audit([1, 2]).differences == ()
    assert auditor.files.named == 2


@pytest.mark.parametrize(
    ("cid", "given", "said"),
    [
        (SMALL_CID, b"Cup score sheet", "its bytes give b"),
        (SMALL_CID, b"", "its bytes give b"),
        (SMALL_CID, bytes(CHUNK_BYTES + 1), "more than 262144 bytes"),
        (LARGE_CID, LARGE[:-1], "its bytes give b"),
        (LARGE_CID, LARGE + b"x", "its bytes give b"),
        (LARGE_CID, ContentMissing("HTTP 404"), "can't be had: HTTP 404"),
    ],
)
def test_a_wrong_or_missing_file_is_a_difference(own: World, cid: str, given: bytes | Exception, said: str) -> None:
    differences = audited(own, Source(**{cid: given})).differences
    assert [(each.goods_id, each.what) for each in differences] == [(1, What.FILE), (2, What.FILE)]
    for each in differences:
        assert cid in str(each)
        assert said in str(each)


def test_a_file_that_comes_at_the_second_look_is_no_difference(own: World) -> None:
    class Late(Source):
        def read(self, cid: str) -> Iterator[bytes]:
            if not self.asked:
                self.asked.append(cid)
                raise ContentMissing("not yet")
            return super().read(cid)

    assert audited(own, Late()).differences == ()


def test_a_source_that_does_not_answer_is_no_difference(own: World) -> None:
    with pytest.raises(AuditImpossible, match="--files"):
        audited(own, Source(**{LARGE_CID: KeeperUnavailable("connection refused")}))


@pytest.mark.parametrize("listed", [(), (SMALL_CID,), (LARGE_CID, SMALL_CID), (SMALL_CID, LARGE_CID, SMALL_CID)])
def test_another_list_than_the_form_names_is_a_difference(own: World, listed: tuple[str, ...]) -> None:
    own.view.change(1, 1, files=listed)
    (difference,) = audited(own, Source()).differences
    assert (difference.goods_id, difference.what) == (1, What.FILE)
