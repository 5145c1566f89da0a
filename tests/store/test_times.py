"""The times of record of an index that is built anew."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.limits import CLOCKS_APART_MICROS as APART
from node.store.rebuild import Places, Rebuild

SECOND = 1_000_000
BEGAN, NOW = 1_000 * SECOND, 9_000 * SECOND
FORGOTTEN = 0
Circ = tuple[object, int | None, Sequence[int]]
"""Its time in the old index, its block's time in seconds, its goods."""


def _put(db: sqlite3.Connection, circs: Sequence[Circ]) -> None:
    db.execute("PRAGMA foreign_keys = OFF")
    blocks: dict[int, int] = {}
    for number, (created_at, seconds, goods) in enumerate(circs, 1):
        block = None if seconds is None else blocks.setdefault(seconds, len(blocks) + 1)
        db.execute(
            "INSERT INTO outbox (id, signer, nonce, kind, signed_bytes, tx_hash, state, block_number)"
            " VALUES (?, '', ?, 'circ', x'', ?, '', ?)",
            (number, number, str(number), block),
        )
        db.execute(
            "INSERT INTO circ (id, circ_type, operator_id, to_id, form, salt, status, outbox_id, created_at)"
            " VALUES (?, 1, 1, 1, x'', x'', 'success', ?, ?)",
            (number, number, created_at),
        )
        db.executemany(
            "INSERT INTO circ_goods (goods_id, circ_id, times) VALUES (?, ?, 0)", [(each, number) for each in goods]
        )


def _settled(places: Places, circs: Sequence[Circ]) -> list[int]:
    """The times that these circs get."""
    new = Rebuild(places)
    with closing(new):
        _put(new.db, circs)
        seconds = dict(new.ask("SELECT block_number, 0 FROM outbox WHERE block_number IS NOT NULL"))
        held = [each for _, each, _ in circs if each is not None]
        known = dict(zip(sorted(seconds), dict.fromkeys(held), strict=True))
        for numbers in new.times.blocks():
            new.times.know([(number, known[number]) for number in numbers])
        new.times.settle(BEGAN, NOW)
        return [at for (at,) in new.ask("SELECT created_at FROM circ ORDER BY id")]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places(tmp_path / "index.sqlite3")


@pytest.mark.parametrize(
    ("circs", "wanted"),
    [
        ([(2_000 * SECOND, 2_500, [1]), (2_400 * SECOND, 2_500, [1])], [2_000 * SECOND, 2_400 * SECOND]),
        ([(FORGOTTEN, 2_500, [1])], [2_500 * SECOND]),
        ([(FORGOTTEN, None, [1])], [NOW]),
        ([(FORGOTTEN, 99_000, [1])], [NOW]),
        ([(FORGOTTEN, 2_500, [1, 2]), (2_400 * SECOND, 2_600, [2])], [2_400 * SECOND, 2_400 * SECOND]),
        ([(FORGOTTEN, 2_500, [1]), (2_400 * SECOND, 2_600, [2])], [2_500 * SECOND, 2_400 * SECOND]),
        ([(2_500 * SECOND + APART, 2_500, [1])], [2_500 * SECOND + APART]),
        ([(2_500 * SECOND + APART + 1, 2_500, [1])], [2_500 * SECOND]),
        ([(NOW + APART + 1, None, [1])], [NOW]),
        ([(BEGAN - APART, 2_500, [1])], [BEGAN - APART]),
        ([(BEGAN - APART - 1, 2_500, [1])], [2_500 * SECOND]),
        ([(2_000 * SECOND, 2_500, [1]), (2_000 * SECOND - APART - 1, 2_600, [1])], [2_000 * SECOND, 2_600 * SECOND]),
        ([("soon", 2_500, [1])], [2_500 * SECOND]),
    ],
    ids=[
        *("known", "forgotten", "forgotten and waiting", "a block ahead of the clock", "a later one is older"),
        *("of other goods", "just after its block", "after its block", "in the future", "just before the ledger"),
        *("before the ledger", "before a former one", "no time"),
    ],
)
def test_a_time_is_kept_if_it_can_be_so(places: Places, circs: list[Circ], wanted: list[int]) -> None:
    assert _settled(places, circs) == wanted


@st.composite
def _honest(draw: st.DrawFn) -> tuple[list[Circ], list[Circ]]:
    """Circs as an honest node had them, and what an old copy or damage left of their times."""
    now, whole, left = BEGAN // SECOND, [], []
    block = now
    for _ in range(draw(st.integers(1, 12))):
        now += draw(st.integers(0, 50))
        block = max(block, now + draw(st.integers(0, 200)))
        goods = draw(st.lists(st.integers(1, 3), min_size=1, unique=True))
        whole.append((now * SECOND, block, goods))
        at = draw(st.sampled_from([now * SECOND, FORGOTTEN, FORGOTTEN, draw(st.integers(-NOW, 2 * NOW))]))
        left.append((at, block, goods))
    return whole, left


@given(_honest())
@settings(max_examples=40, deadline=None)
def test_times_that_were_settled_stay_and_keep_the_bounds(given_: tuple[list[Circ], list[Circ]]) -> None:
    whole, left = given_
    with tempfile.TemporaryDirectory() as folder:
        places = Places(Path(folder) / "index.sqlite3")
        assert _settled(places, whole) == [at for at, _, _ in whole], "an honest node's are kept as they are"
        found = _settled(places, left)
        again = [(at, block, goods) for at, (_, block, goods) in zip(found, left, strict=True)]
        assert _settled(places, again) == found
    latest: dict[int, int] = {}
    for at, block, goods in again:
        assert isinstance(at, int)
        assert BEGAN - APART <= at <= (block or 0) * SECOND + APART
        for goods_id in goods:
            assert at >= latest.get(goods_id, 0) - APART
            latest[goods_id] = max(at, latest.get(goods_id, 0))
