"""Counting scans: what is kept, what is forgotten, what a kill costs."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.domain.pages import Place
from node.domain.records import User
from node.domain.scans import KEPT_DAYS, Level
from node.errors import IndexUnavailable, VTraceError
from node.flow import scans as flow
from node.flow.scans import MICROS_PER_DAY, Scans
from node.store import people, scans, tables
from node.store.db import Store
from node.store.seal import Seal
from tests.store import rows

SEAL = Seal(bytes(32))
GOODS = 40


@dataclass
class Counted:
    """An index with goods 1 to GOODS of one serial, and a clock that a test sets."""

    store: Store
    path: Path
    now: int = 20_000 * MICROS_PER_DAY

    def scans(self) -> Scans:
        """As a node that starts."""
        return Scans(self.store, SEAL, lambda: self.now)

    def readers(self, goods_id: int) -> list[int]:
        return [one.readers for one in scans.counts(1, 0) if one.goods_id == goods_id]

    def user(self) -> User:
        user = people.user(1)
        assert user is not None
        return user


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[Counted]:
    path = tmp_path / "index.sqlite3"
    store = Store(path)
    rows.prepared(store, 1, GOODS)
    tables.User.update(org=1).execute()
    yield Counted(store, path)
    store.close()


def _scanned(scanning: Scans, goods_id: int, readers: int, place: str = "") -> None:
    for number in range(readers):
        scanning.note(goods_id, f"203.0.{number // 256}.{number % 256}", place)


def test_a_restart_keeps_counts_and_knows_the_readers_of_the_day(counted: Counted) -> None:
    first = counted.scans()
    _scanned(first, 1, 3)
    first.flush()
    first.note(1, "198.51.100.9", "")
    del first  # killed: what waits is lost
    again = counted.scans()
    _scanned(again, 1, 4)
    again.step()
    assert counted.readers(1) == [4]


def test_an_ipv6_network_is_one_reader(counted: Counted) -> None:
    scanning = counted.scans()
    for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "::ffff:203.0.113.7", "203.0.113.7", "", "?"):
        scanning.note(1, address, "")
    scanning.flush()
    assert counted.readers(1) == [4]


def test_no_address_is_kept_and_nobody_is_told_again(counted: Counted) -> None:
    scanning = counted.scans()
    for goods_id in (1, 2):
        scanning.note(goods_id, "203.0.113.77", "")
    scanning.flush()
    first = {bytes(row.reader) for row in tables.ScanReader.select()}
    assert len(first) == 2  # not even from goods to goods
    counted.now += MICROS_PER_DAY
    scanning.note(1, "203.0.113.77", "")
    scanning.flush()
    (second,) = [bytes(row.reader) for row in tables.ScanReader.select()]
    assert second not in first
    assert counted.readers(1) == [2]
    everything = b"".join(path.read_bytes() for path in counted.path.parent.iterdir() if path.is_file())
    assert b"203.0.113.77" not in everything
    assert bytes([203, 0, 113, 77]) not in everything


def test_what_is_old_is_forgotten_though_nobody_scans(counted: Counted) -> None:
    scanning = counted.scans()
    _scanned(scanning, 1, 3)
    scanning.flush()
    salt = bytes(tables.SealedKey.get(tables.SealedKey.name == flow.SALT).sealed)
    counted.now += MICROS_PER_DAY
    scanning.step()
    assert scans.readers() == 0
    assert bytes(tables.SealedKey.get(tables.SealedKey.name == flow.SALT).sealed) != salt
    assert counted.readers(1) == [3]
    counted.now += (KEPT_DAYS - 2) * MICROS_PER_DAY
    scanning.step()
    assert counted.readers(1) == [3]
    counted.now += MICROS_PER_DAY
    scanning.step()
    assert counted.readers(1) == []


def test_a_clock_that_is_set_back_counts_on(counted: Counted) -> None:
    scanning = counted.scans()
    _scanned(scanning, 1, 2)
    counted.now -= 5 * MICROS_PER_DAY
    _scanned(scanning, 1, 3)
    scanning.step()
    assert (counted.readers(1), len({row.day for row in tables.Scan.select()})) == ([3], 1)


def test_scans_from_both_sides_of_midnight(counted: Counted) -> None:
    scanning = counted.scans()
    scanning.flush()
    scanning.note(1, "203.0.113.7", "")
    counted.now += MICROS_PER_DAY
    scanning.note(1, "203.0.113.7", "")
    scanning.flush()
    assert sorted((row.day, row.readers) for row in tables.Scan.select()) == [(20_000, 1), (20_001, 1)]
    assert scans.readers() == 1


def test_an_index_that_is_busy_loses_nothing(counted: Counted) -> None:
    scanning = counted.scans()
    scanning.flush()
    with sqlite3.connect(counted.path) as other:
        other.execute("BEGIN IMMEDIATE")
        counted.store._database.execute_sql("PRAGMA busy_timeout = 1")
        _scanned(scanning, 1, 2)
        with pytest.raises(IndexUnavailable):
            scanning.flush()
        _scanned(scanning, 1, 3)
        other.rollback()
    scanning.flush()
    assert scans.counts(1, 0)[0].scans == 5
    assert counted.readers(1) == [3]


def test_more_than_can_wait_is_lost_and_told(
    counted: Counted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(flow, "WAITING_MAX", 3)
    scanning = counted.scans()
    _scanned(scanning, 1, 5)
    _scanned(scanning, 1, 3)
    scanning.flush()
    assert scans.counts(1, 0)[0].scans == 6
    assert "2 scans were not counted" in caplog.text


def test_a_reader_more_than_a_day_remembers_is_a_scan(counted: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "READERS_MAX", 4)
    scanning = counted.scans()
    _scanned(scanning, 1, 3)
    scanning.flush()
    _scanned(scanning, 2, 3)
    scanning.flush()
    assert [(one.scans, one.readers) for one in scans.counts(1, 0)] == [(3, 3), (3, 1)]
    again = counted.scans()  # as does the next start
    _scanned(again, 3, 1)
    again.flush()
    assert counted.readers(3) == [0]


def test_what_is_unusual_is_told_for_as_long_as_it_is_so(counted: Counted) -> None:
    scanning = counted.scans()
    for goods_id in range(1, GOODS):
        _scanned(scanning, goods_id, 2)
    _scanned(scanning, GOODS, 60)
    scanning.step()
    began = counted.now
    ((alert,), _) = scanning.alerts(counted.user(), Place(0, 0))
    assert (alert.unusual.counts.goods_id, alert.unusual.counts.readers, alert.since) == (GOODS, 60, began)
    assert (alert.unusual.level, scanning.is_hinted(GOODS)) == (Level.NOTICE, False)

    counted.now += MICROS_PER_DAY
    _scanned(scanning, GOODS, 250)
    scanning.step()
    ((alert,), _) = scanning.alerts(counted.user(), Place(0, 0))
    assert (alert.unusual.level, alert.unusual.counts.readers, alert.since) == (Level.HINT, 310, began)
    assert scanning.is_hinted(GOODS)
    assert counted.scans().is_hinted(GOODS)  # from the first moment of the next start

    counted.now += KEPT_DAYS * MICROS_PER_DAY
    scanning.step()
    assert scanning.alerts(counted.user(), Place(0, 0)) == ([], "")
    assert not scanning.is_hinted(GOODS)


def test_judging_waits_for_its_time(counted: Counted) -> None:
    scanning = counted.scans()
    scanning.step()
    for goods_id in range(1, GOODS):
        _scanned(scanning, goods_id, 2)
    _scanned(scanning, GOODS, 60)
    counted.now += flow.JUDGE_EVERY_MICROS - 1
    scanning.step()
    assert scanning.alerts(counted.user(), Place(0, 0)) == ([], "")
    counted.now += 1
    scanning.step()
    assert len(scanning.alerts(counted.user(), Place(0, 0))[0]) == 1


def test_who_has_no_org_has_no_alerts(counted: Counted) -> None:
    tables.User.update(org=None).execute()
    with pytest.raises(VTraceError, match="belongs to no org"):
        counted.scans().alerts(counted.user(), Place(0, 0))


def test_processes_that_share_an_index_know_the_same_readers(counted: Counted) -> None:
    first, second = counted.scans(), counted.scans()
    for day in range(3):
        for scanning in (first, second):
            _scanned(scanning, 1, 3)
        for scanning in (second, first) if day % 2 else (first, second):
            scanning.flush()
        assert counted.readers(1) == [3 * (day + 1)]
        assert scans.readers() == 3
        counted.now += MICROS_PER_DAY


def test_what_comes_when_another_has_begun_the_day_counts_as_scans(counted: Counted) -> None:
    first, second = counted.scans(), counted.scans()
    _scanned(second, 1, 3)
    counted.now += MICROS_PER_DAY
    _scanned(first, 1, 2)
    first.flush()
    second.flush()
    assert [(one.scans, one.readers) for one in scans.counts(1, 0)] == [(5, 2)]
    assert scans.readers() == 2
