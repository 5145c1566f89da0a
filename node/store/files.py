"""Files in the index: one row for a content and an uploader. Writers run inside ``Store.write()``."""

from __future__ import annotations

import json
from collections.abc import Iterator

from peewee import SQL, Select, fn

from node.domain.files import FileRecord
from node.store import tables as t

_PAGE_ROWS = 1_000


def add(record: FileRecord, uploader_id: int) -> None:
    """Remember a file; what an uploader said of the same content before stays as it is."""
    t.File.insert(
        cid=record.cid,
        size=record.size,
        sniffed=record.sniffed,
        declared=record.declared,
        filename=record.filename,
        uploader=uploader_id,
        own=json.dumps(record.own, ensure_ascii=False, separators=(",", ":")),
        created_at=record.created_at,
    ).on_conflict_ignore().execute()


def file(cid: str) -> FileRecord | None:
    """A file, as its first uploader described it."""
    row = t.File.select(t.File, t.User.username).join(t.User).where(t.File.cid == cid).order_by(t.File.id).first()
    if row is None:
        return None
    return FileRecord(
        cid=row.cid,
        size=row.size,
        sniffed=row.sniffed,
        declared=row.declared,
        filename=row.filename,
        uploader=row.uploader.username,
        own=tuple((key, value) for key, value in json.loads(row.own)),
        created_at=row.created_at,
    )


def is_recorded(cid: str) -> bool:
    """Whether anybody uploaded this content."""
    return bool(t.File.select().where(t.File.cid == cid).exists())


def totals() -> tuple[int, int]:
    """How many different contents there are, and their bytes together."""
    distinct = t.File.select(t.File.cid, t.File.size).distinct().alias("content")
    ((total, size),) = t.tuples(Select([distinct], [fn.COUNT(SQL("1")), fn.SUM(distinct.c.size)]).bind(t.database))
    return int(total), int(size or 0)


def contents() -> Iterator[tuple[str, int]]:
    """The CID and size of every content, by CID, read a page at a time."""
    after = ""
    while True:
        query = t.File.select(t.File.cid, t.File.size).distinct().where(t.File.cid > after)
        page = [(str(cid), int(size)) for cid, size in t.tuples(query.order_by(t.File.cid).limit(_PAGE_ROWS))]
        yield from page
        if len(page) < _PAGE_ROWS:
            return
        after = page[-1][0]
