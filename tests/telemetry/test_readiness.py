"""Each part that is not ready is named, with why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.clock import now_micros
from node.flow import readiness
from node.flow.readiness import CHAIN_SECONDS, HEIGHT, LAG_BLOCKS_MAX, Readiness, Watchman
from node.store import outbox, progress
from node.store import tables as t
from tests.flow.world import Running, started
from tests.support.node import eventually
from tests.telemetry.asking import config, unreadable


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Running]:
    with started(config(tmp_path / "d")) as running:
        eventually(lambda: outbox.first_block() is not None)
        yield running


def look(node: Running, later_seconds: float = 0) -> Readiness:
    """What a look finds so many seconds after the chain was seen last."""
    told: list[Readiness] = []
    clock = [now_micros()]
    watchman = Watchman(node.node._store, node.node._ledger, lambda: clock[0], told.append)
    clock[0] += round(later_seconds * 1_000_000)
    assert watchman.now().reasons == {"look": "the node has just started"}
    watchman.step()
    assert told == [watchman.now()]
    return told[0]


def test_every_part_is_looked_at(node: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert look(node) == Readiness({})
    assert look(node).is_ready

    away = look(node, CHAIN_SECONDS + 10)
    assert away.reasons.keys() == {"chain"}
    assert (away.is_ready, away.is_serving) == (False, True)

    head = int(progress.noted()["head"][0])
    for behind, reasons in ((LAG_BLOCKS_MAX + 1, {"head"}), (LAG_BLOCKS_MAX, set())):
        with node.node._store.write():
            progress.note(now_micros(), **{HEIGHT: str(head + behind), "head": str(head)})
            found = look(node)
            assert found.reasons.keys() == reasons
            assert found.is_serving

    with monkeypatch.context() as full:
        full.setattr(node.node._ledger, "waiting", node.node._config.backlog_max)
        found = look(node)
        assert found.reasons == {"backlog": "100000 transactions wait for the chain, which is the limit"}
        assert found.is_serving

    with monkeypatch.context() as stuck:
        stuck.setattr(readiness, "STALE_SECONDS", -1.0)
        found = node.node._operating.watchman.now()
        assert found.reasons.keys() == {"look"}
        assert not found.is_serving

    blocks = t.run("SELECT id, block_number FROM outbox").fetchall()
    with node.node._store.write():
        t.run("UPDATE outbox SET block_number = NULL")
        assert look(node).reasons == {"contract": "the contract is in no block yet"}
        for tx_id, number in blocks:
            t.run("UPDATE outbox SET block_number = ? WHERE id = ?", number, tx_id)

    with unreadable(node):
        found = look(node)
        assert found.reasons == {"index": "the index can't be read"}
        assert not found.is_serving
    assert look(node).is_ready
