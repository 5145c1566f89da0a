"""The audit log in the index. Nothing here changes or removes an entry. Writers run inside ``Store.write()``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from node.clock import Clock
from node.domain.log_entry import SALT_BYTES, START, Happened, body_of, chained, micros_of
from node.store import sealed
from node.store import tables as t
from node.store.seal import Seal

_PAGE_ROWS = 1_000
OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Kept:
    """An entry as it is kept; ``sealed`` is where it came from, None if that is not known or was forgotten."""

    number: int
    body: str
    hash: bytes
    sealed: bytes | None


@dataclass(frozen=True, slots=True)
class Anchor:
    """A head that was put on chain: the entry, its hash, when (microseconds since 1970), and the transaction."""

    number: int
    hash: bytes
    at: int
    tx_hash: str


def head() -> tuple[int, bytes]:
    """Number and hash of the newest entry; 0 and START before the first."""
    row = t.run("SELECT number, hash FROM log_entry ORDER BY number DESC LIMIT 1").fetchone()
    return (0, START) if row is None else (int(row[0]), bytes(row[1]))


def append(news: Sequence[Happened], seal: Seal | None = None) -> None:
    """Add entries behind the newest. What has an address needs the ``seal``."""
    number, before = head()
    salts = os.urandom(SALT_BYTES * len(news))
    entries, origins = [], []
    for place, one in enumerate(news):
        number += 1
        salt = salts[place * SALT_BYTES :][:SALT_BYTES]
        body = body_of(number, one, salt)
        before = chained(before, body)
        entries.append((number, body, before))
        if one.address:
            assert seal is not None
            origins.append((number, one.at, seal.close(sealed.log_origin(number), salt + one.address.encode())))
    t.run_many("INSERT INTO log_entry (number, body, hash) VALUES (?, ?, ?)", entries)
    t.run_many("INSERT INTO log_origin (number, at, sealed) VALUES (?, ?, ?)", origins)


def note_command(clock: Clock, call: str, on: Mapping[str, object]) -> None:
    """A command of the operator on the node's own machine, in the transaction of what it changes."""
    append([Happened(clock(), OPERATOR, call, "OK", "", on)])


def entries(after: int = 0) -> Iterator[Kept]:
    """The entries behind a number, in their order."""
    query = (
        "SELECT e.number, body, hash, sealed FROM log_entry e LEFT JOIN log_origin o ON o.number = e.number "
        "WHERE e.number > ? ORDER BY e.number LIMIT ?"
    )
    while page := t.run(query, after, _PAGE_ROWS).fetchall():
        for number, body, digest, origin_sealed in page:
            yield Kept(int(number), str(body), bytes(digest), None if origin_sealed is None else bytes(origin_sealed))
        after = page[-1][0]


def origin(seal: Seal, kept: Kept) -> tuple[bytes, str] | None:
    """Salt and address of where an entry came from; None if that is not known or was forgotten."""
    if kept.sealed is None:
        return None
    opened = seal.open(sealed.log_origin(kept.number), kept.sealed)
    return opened[:SALT_BYTES], opened[SALT_BYTES:].decode()


def began() -> int | None:
    """When the first entry was written, in microseconds since 1970."""
    row = t.run("SELECT body FROM log_entry ORDER BY number LIMIT 1").fetchone()
    return None if row is None else micros_of(json.loads(row[0])["at"])


def oldest_origin() -> int | None:
    """When the oldest call was made of which is known where it came from, in microseconds since 1970."""
    row = t.run("SELECT at FROM log_origin ORDER BY number LIMIT 1").fetchone()
    return None if row is None else int(row[0])


def forget_origins(before: int, most: int) -> int:
    """Forget where the oldest entries came from, ``most`` of those of before a time; answers how many."""
    sql = (
        "DELETE FROM log_origin WHERE number IN ("
        "SELECT number FROM (SELECT number, at FROM log_origin ORDER BY number LIMIT ?) AS oldest WHERE at < ?)"
    )
    return int(t.run(sql, most, before).rowcount)


def forget_origins_of(username: str) -> None:
    """Forget from where a user called."""
    who = t.database.json_text("body", "who")
    t.run(f"DELETE FROM log_origin WHERE number IN (SELECT number FROM log_entry WHERE {who} = ?)", username)


def last_anchor() -> Anchor | None:
    """The newest head that was put on chain."""
    return next(iter(_read("SELECT number, hash, at, tx_hash FROM log_anchor ORDER BY number DESC LIMIT 1")), None)


def anchors() -> list[Anchor]:
    """Every head that was put on chain, in their order; one a day."""
    return _read("SELECT number, hash, at, tx_hash FROM log_anchor ORDER BY number")


def keep_anchor(anchor: Anchor) -> None:
    """A head is on its way to the chain."""
    t.run(
        "INSERT INTO log_anchor (number, hash, at, tx_hash) VALUES (?, ?, ?, ?)",
        *(anchor.number, anchor.hash, anchor.at, anchor.tx_hash),
    )


def _read(query: str) -> list[Anchor]:
    rows = t.run(query).fetchall()
    return [Anchor(int(number), bytes(digest), int(at), str(tx_hash)) for number, digest, at, tx_hash in rows]
