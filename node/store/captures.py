"""Captured events of EPCIS: what they name, which were captured before, and the jobs. Writers run inside
``Store.write()``."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from node.domain.model import CircStatus, CircType
from node.store import tables as t


@dataclass(frozen=True, slots=True)
class KeptJob:
    """A capture job; ``number`` orders the jobs, ``outcome`` is JSON. Times are microseconds since 1970."""

    number: int
    capture_id: str
    created_at: int
    finished_at: int
    success: bool
    outcome: str


def described(goods_ids: Collection[int]) -> dict[int, tuple[int, bytes]]:
    """The serial's id and the class's description of goods; unknown goods are left out."""
    found: dict[int, tuple[int, bytes]] = {}
    for some in t.cut(goods_ids):
        rows = t.run(
            "SELECT goods.id, serial.id, description FROM goods JOIN serial ON serial.id = serial_id "
            f"JOIN goods_class ON goods_class.id = goods_class_id WHERE goods.id IN {t.places(len(some))}",
            *some,
        )
        found.update((goods_id, (serial_id, bytes(description))) for goods_id, serial_id, description in rows)
    return found


def username_of(actor_id: int) -> str | None:
    """The user that the contract knows by a number."""
    rows = t.run('SELECT username FROM actor JOIN "user" ON "user".id = user_id WHERE actor.id = ?', actor_id)
    row = rows.fetchone()
    return str(row[0]) if row else None


def standing(user_id: int, event_hash: bytes) -> list[str]:
    """The trans_ids that a user's event was captured under before, but for those whose circ failed."""
    rows = t.run(
        "SELECT trans_id FROM captured_event LEFT JOIN outbox ON outbox.tx_hash = trans_id "
        "LEFT JOIN circ ON circ.outbox_id = outbox.id "
        "WHERE captured_event.user_id = ? AND event_hash = ? AND (circ.status IS NULL OR circ.status <> ?) "
        "ORDER BY captured_event.id",
        *(user_id, event_hash, CircStatus.FAILED.value),
    )
    return [str(trans_id) for (trans_id,) in rows]


def recorded_as(trans_id: str) -> tuple[int, CircType, frozenset[int]] | None:
    """The user, kind and goods of the circ that a transaction carries; None if there is none, or it failed."""
    rows = t.run(
        "SELECT circ.id, user_id, circ_type FROM outbox JOIN circ ON circ.outbox_id = outbox.id "
        "JOIN actor ON actor.id = operator_id WHERE tx_hash = ? AND status <> ?",
        *(trans_id, CircStatus.FAILED.value),
    )
    found = rows.fetchone()
    if found is None:
        return None
    circ_id, user_id, circ_type = found
    goods = t.run("SELECT goods_id FROM circ_goods WHERE circ_id = ?", circ_id)
    return int(user_id), CircType(circ_type), frozenset(goods_id for (goods_id,) in goods)


def add_event(user_id: int, event_hash: bytes, trans_ids: Iterable[str]) -> None:
    """Remember that an event was captured."""
    rows = ((user_id, event_hash, trans_id) for trans_id in trans_ids)
    t.run_many("INSERT INTO captured_event (user_id, event_hash, trans_id) VALUES (?, ?, ?)", rows)


def add_job(capture_id: str, user_id: int, created_at: int, finished_at: int, success: bool, outcome: str) -> None:
    """Keep a job."""
    t.run(
        "INSERT INTO capture_job (capture_id, user_id, created_at, finished_at, success, outcome) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        *(capture_id, user_id, created_at, finished_at, success, outcome),
    )


def forget_jobs(user_id: int, keep: int, before: int, limit: int) -> None:
    """Drop a user's jobs but for the newest ``keep``, and at most ``limit`` of anybody's made before a time."""
    row = t.CaptureJob
    newest = row.select(row.id).where(row.user_id == user_id).order_by(row.id.desc()).limit(keep)
    row.delete().where(row.user_id == user_id, row.id.not_in(newest)).execute()
    oldest = row.select(row.id).where(row.created_at < before).order_by(row.created_at).limit(limit)
    row.delete().where(row.id.in_([id_ for (id_,) in t.tuples(oldest)])).execute()


def job(user_id: int, capture_id: str) -> KeptJob | None:
    """One of a user's jobs."""
    row = t.CaptureJob
    return next(iter(_jobs((row.user_id == user_id) & (row.capture_id == capture_id), 1)), None)


def jobs(user_id: int, before: int | None, limit: int) -> list[KeptJob]:
    """A user's jobs, newest first, those that came before the one with a number."""
    row = t.CaptureJob
    of_user = row.user_id == user_id
    return _jobs(of_user if before is None else of_user & (row.id < before), limit)


def _jobs(which: object, limit: int) -> list[KeptJob]:
    row = t.CaptureJob
    columns = (row.id, row.capture_id, row.created_at, row.finished_at, row.success, row.outcome)
    query = row.select(*columns).where(which).order_by(row.id.desc()).limit(limit)
    return [KeptJob(*values) for values in t.tuples(query)]
