"""Scans in the index: counts a day, the readers of the day that is being counted, and what was found unusual.

Writers run inside ``Store.write()``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from peewee import fn

from node.domain.scans import Alert, Counts, Level, Scan, Unusual
from node.store import tables as t

_ROWS_PER_INSERT = 500
_SEEN = "INSERT INTO scan_reader (goods_id, reader) VALUES (?, ?) ON CONFLICT DO NOTHING"
_COUNT = (
    "INSERT INTO scan (goods_id, day, place, scans, readers) VALUES (?, ?, ?, ?, ?) ON CONFLICT (goods_id, day, place) "
    "DO UPDATE SET scans = scan.scans + excluded.scans, readers = scan.readers + excluded.readers"
)
_COUNTS = (
    "SELECT goods_id, SUM(scans), SUM(readers), COUNT(DISTINCT CASE WHEN place <> '' THEN place END) "
    "FROM scan JOIN goods ON goods.id = goods_id WHERE serial_id = ? AND day >= ? GROUP BY goods_id ORDER BY goods_id"
)
_ALERTS = (
    t.ScanAlert.goods_id,
    t.ScanAlert.scans,
    t.ScanAlert.readers,
    t.ScanAlert.places,
    t.ScanAlert.level,
    t.ScanAlert.usual_readers,
    t.ScanAlert.usual_places,
    t.ScanAlert.serial_id,
    t.ScanAlert.since,
)


def add(scans: Mapping[Scan, int], readers_max: int) -> int:
    """Count scans, of which each stands with its number; answers how many readers are new.

    From ``readers_max`` new ones on only scans are counted: who is new can't be told any more. A place belongs to the
    reader's first scan of the day, so that there are never more rows than readers and goods.
    """
    new = 0
    for scan, number in scans.items():
        is_new = new < readers_max and t.run(_SEEN, scan.goods_id, scan.reader).rowcount == 1
        new += is_new
        t.run(_COUNT, scan.goods_id, scan.day, scan.place if is_new else "", number, int(is_new))
    return new


def readers() -> int:
    """How many readers are remembered, each for one goods."""
    return int(t.ScanReader.select().count())


def forget_readers() -> None:
    """A new day: its readers have other names."""
    t.ScanReader.delete().execute()


def forget_days(before: int, rows_max: int) -> None:
    """Forget the days before one, and of the later ones the oldest while there are more than ``rows_max`` rows."""
    t.Scan.delete().where(t.Scan.day < before).execute()
    while t.Scan.select().count() > rows_max:
        t.Scan.delete().where(t.Scan.day == t.Scan.select(fn.MIN(t.Scan.day))).execute()


def counts(serial_id: int, since: int) -> list[Counts]:
    """The goods of a serial that were scanned on a day or later."""
    rows = t.run(_COUNTS, serial_id, since).fetchall()
    return [Counts(goods_id, int(scans), int(several), int(places)) for goods_id, scans, several, places in rows]


def serials_scanned() -> set[int]:
    """The serials of all goods that were scanned, or found unusual before."""
    scanned = t.Goods.select(t.Goods.serial).where(t.Goods.id.in_(t.Scan.select(t.Scan.goods_id))).distinct()
    return {serial_id for (serial_id,) in t.tuples(scanned)} | {
        serial_id for (serial_id,) in t.tuples(t.ScanAlert.select(t.ScanAlert.serial_id).distinct())
    }


def serials_of(goods_ids: Collection[int]) -> set[int]:
    """The serials of goods."""
    found: set[int] = set()
    for some in t.cut(goods_ids):
        rows = t.tuples(t.Goods.select(t.Goods.serial).where(t.Goods.id.in_(some)).distinct())
        found.update(serial_id for (serial_id,) in rows)
    return found


def alerts_of_serial(serial_id: int) -> list[Alert]:
    """What was found of a serial, by goods."""
    rows = t.ScanAlert.select(*_ALERTS).where(t.ScanAlert.serial_id == serial_id).order_by(t.ScanAlert.goods_id)
    return _alerts(t.tuples(rows))


def set_alerts(serial_id: int, alerts: Iterable[Alert]) -> None:
    """What is found of a serial now, instead of what was."""
    t.ScanAlert.delete().where(t.ScanAlert.serial_id == serial_id).execute()
    org = t.Serial.select(t.GoodsClass.org).join(t.GoodsClass).where(t.Serial.id == serial_id)
    ((org_id,),) = t.tuples(org)
    rows = [
        {
            "goods_id": alert.unusual.counts.goods_id,
            "serial_id": serial_id,
            "org_id": org_id,
            "level": alert.unusual.level.value,
            "scans": alert.unusual.counts.scans,
            "readers": alert.unusual.counts.readers,
            "places": alert.unusual.counts.places,
            "usual_readers": alert.unusual.usual_readers,
            "usual_places": alert.unusual.usual_places,
            "since": alert.since,
        }
        for alert in alerts
    ]
    for at in range(0, len(rows), _ROWS_PER_INSERT):
        t.ScanAlert.insert_many(rows[at : at + _ROWS_PER_INSERT]).execute()


def alerts(org_id: int, after: int, offset: int, limit: int) -> list[Alert]:
    """What was found of an org's goods behind goods ``after``, by goods."""
    of_org = (t.ScanAlert.org_id == org_id, t.ScanAlert.goods_id > after)
    rows = t.ScanAlert.select(*_ALERTS).where(*of_org).order_by(t.ScanAlert.goods_id)
    return _alerts(t.tuples(rows.offset(offset).limit(limit)))


def hinted() -> frozenset[int]:
    """The goods whose pages have a hint."""
    rows = t.ScanAlert.select(t.ScanAlert.goods_id).where(t.ScanAlert.level == Level.HINT.value)
    return frozenset(goods_id for (goods_id,) in t.tuples(rows))


def totals() -> tuple[int, int]:
    """How many goods are unusual, and how many pages say so."""
    return int(t.ScanAlert.select().count()), len(hinted())


def _alerts(rows: Iterable[tuple[int, int, int, int, str, int, int, int, int]]) -> list[Alert]:
    return [
        Alert(Unusual(Counts(*counted), Level(level), usual_readers, usual_places), serial_id, since)
        for *counted, level, usual_readers, usual_places, serial_id, since in rows
    ]
