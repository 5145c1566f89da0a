"""Scans in the index."""

from __future__ import annotations

from node.domain.scans import Alert, Counts, Level, Scan, Unusual
from node.store import scans, tables
from node.store.db import Store

from . import rows


def _scan(goods_id: int, reader: bytes, day: int = 10, place: str = "") -> Scan:
    return Scan(day, goods_id, reader, place)


def _alert(goods_id: int, level: Level = Level.NOTICE, since: int = 5) -> Alert:
    return Alert(Unusual(Counts(goods_id, 90, 60, 3), level, 2, 1), 1, since)


def test_a_reader_counts_once_for_each_goods(store: Store) -> None:
    rows.prepared(store, 1, 3)
    with store.write():
        assert scans.add({_scan(1, b"a"): 3, _scan(1, b"b"): 1, _scan(2, b"a"): 2}, 100) == 3
        assert scans.add({_scan(1, b"a"): 4}, 100) == 0
    assert scans.counts(1, 0) == [Counts(1, 8, 2, 0), Counts(2, 2, 1, 0)]
    assert scans.readers() == 3


def test_places_are_counted_where_they_are_known(store: Store) -> None:
    rows.prepared(store, 1, 1)
    with store.write():
        seen = [_scan(1, b"a", place="CN"), _scan(1, b"b", place="CN"), _scan(1, b"c"), _scan(1, b"d", 11, "DE")]
        scans.add(dict.fromkeys(seen, 1), 100)
        scans.add({_scan(1, b"a", place=f"X{number}"): 1 for number in range(50)}, 100)
        assert tables.Scan.select().count() == 3
    assert scans.counts(1, 0) == [Counts(1, 54, 4, 2)]
    assert scans.counts(1, 11) == [Counts(1, 1, 1, 1)]


def test_more_readers_than_are_remembered_count_as_scans(store: Store) -> None:
    rows.prepared(store, 1, 1)
    with store.write():
        assert scans.add({_scan(1, bytes([number])): 1 for number in range(5)}, 2) == 2
    assert scans.counts(1, 0) == [Counts(1, 5, 2, 0)]


def test_days_and_readers_are_forgotten(store: Store) -> None:
    rows.prepared(store, 1, 3)
    with store.write():
        for day in (7, 8, 9):
            scans.add({_scan(goods_id, bytes([day]), day): 1 for goods_id in (1, 2, 3)}, 100)
        scans.forget_readers()
        scans.forget_days(8, 100)
        assert scans.readers() == 0
        assert [one.scans for one in scans.counts(1, 0)] == [2, 2, 2]
        scans.forget_days(8, 4)
        assert [one.scans for one in scans.counts(1, 0)] == [1, 1, 1]
        assert {row.day for row in tables.Scan.select()} == {9}


def test_only_goods_of_the_serial_are_siblings(store: Store) -> None:
    rows.prepared(store, 1, 2)
    with store.write():
        (other,) = rows.products.add_goods(
            serial_id=rows.products.add_serial(class_id=1, product_time=0, state="s", creator_id=1, now=0),
            creator_id=1,
            state="s",
            total=1,
        )
        scans.add({_scan(1, b"a"): 1, _scan(other, b"a"): 1}, 100)
    assert [one.goods_id for one in scans.counts(1, 0)] == [1]
    assert (scans.serials_of([1, 2, other]), scans.serials_scanned()) == ({1, 2}, {1, 2})


def test_what_is_found_replaces_what_was(store: Store) -> None:
    rows.prepared(store, 1, 700)
    assert (scans.alerts(1, 0, 0, 10), scans.hinted(), scans.totals()) == ([], frozenset(), (0, 0))
    first = [_alert(number) for number in range(1, 601)]
    with store.write():
        scans.set_alerts(1, first)
    assert scans.alerts_of_serial(1) == first
    second = [_alert(3, Level.HINT), _alert(650)]
    with store.write():
        scans.set_alerts(1, second)
    assert (scans.alerts(1, 0, 0, 10), scans.alerts(1, 0, 1, 10), scans.alerts(2, 0, 0, 10)) == (second, second[1:], [])
    assert (scans.hinted(), scans.totals(), scans.serials_scanned()) == (frozenset({3}), (2, 1), {1})
