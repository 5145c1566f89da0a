"""Files in the index: one row for a content and an uploader, and the blocks of published forms.

Writers run inside ``Store.write()``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from peewee import SQL, Select, fn

from node.domain.files import OCTETS, FileRecord
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
    """A file, as its first uploader described it, or the block of a published form."""
    row = t.File.select(t.File, t.User.username).join(t.User).where(t.File.cid == cid).order_by(t.File.id).first()
    if row is None:
        return _block(cid)
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


def _block(cid: str) -> FileRecord | None:
    row = t.Published.get_or_none(t.Published.cid == cid)
    return None if row is None else FileRecord(cid, row.size, OCTETS, "", "", "", (), 0)


def is_recorded(cid: str) -> bool:
    """Whether anybody uploaded this content, or it is a published form's."""
    uploaded = t.File.select().where(t.File.cid == cid)
    published = t.Published.select().where(t.Published.cid == cid)
    return bool(uploaded.exists() or published.exists())


def totals() -> tuple[int, int]:
    """How many different contents there are, and their bytes together."""
    kept = (t.File.select(t.File.cid, t.File.size) | t.Published.select(t.Published.cid, t.Published.size)).alias(
        "kept"
    )
    ((total, size),) = t.tuples(Select([kept], [fn.COUNT(SQL("1")), fn.SUM(SQL("kept.size"))]).bind(t.database))
    return int(total), int(size or 0)


def contents() -> Iterator[tuple[str, int]]:
    """The CID and size of every content, by CID, read a page at a time."""
    after = ""
    while True:
        found: dict[str, int] = {}
        for table in (t.File, t.Published):
            query = table.select(table.cid, table.size).where(table.cid > after).distinct()
            found.update((str(cid), int(size)) for cid, size in t.tuples(query.order_by(table.cid).limit(_PAGE_ROWS)))
        page = sorted(found.items())[:_PAGE_ROWS]
        yield from page
        if len(page) < _PAGE_ROWS:
            return
        after = page[-1][0]
