"""When the circs of the index under construction were recorded: what the old index says, if it can be so.

Only the old index knew. Its word is taken within the bounds that the audit has too: not after the block that holds the
circ, not before a former circ of the same goods, nor long before the contract was made. What is forgotten, or can't be
so, becomes the block's time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from node.domain.limits import CLOCKS_APART_MICROS

_PAGE_ROWS = 500
_HELD = """
    SELECT c.id AS circ_id, seconds * 1000000 AS held FROM main.circ c
    JOIN main.outbox o ON o.id = c.outbox_id LEFT JOIN scratch.block b ON b.number = o.block_number"""
_SEEN = """
    SELECT circ_id, created_at, {} OVER (
        PARTITION BY goods_id ORDER BY circ_id {} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS bound
    FROM main.circ_goods JOIN main.circ c ON c.id = circ_id"""
_STATEMENTS = (
    f"""
    UPDATE main.circ SET created_at = 0 FROM ({_HELD}) WHERE circ_id = id AND (
        typeof(created_at) != 'integer'
        OR created_at NOT BETWEEN :began - :apart AND coalesce(held, :now) + :apart)""",
    f"""
    UPDATE main.circ SET created_at = 0 WHERE created_at > 0 AND id IN (
        SELECT circ_id FROM ({_SEEN.format("max(created_at)", "")}) WHERE created_at < bound - :apart)""",
    # None was recorded after this moment, nor after a later one of the same goods whose time is known.
    f"""
    UPDATE main.circ SET created_at = min(:now, coalesce(held, :now), coalesce(later, :now))
        FROM ({_HELD}) AS h JOIN (
            SELECT circ_id, min(bound) AS later FROM ({_SEEN.format("min(nullif(created_at, 0))", "DESC")})
            WHERE created_at = 0 GROUP BY circ_id) AS s ON s.circ_id = h.circ_id
        WHERE h.circ_id = id""",
)


class Times:
    """The times of record."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def blocks(self) -> Iterator[list[int]]:
        """The numbers of the blocks that hold transactions of circs, some at a time."""
        query = f"""
            SELECT DISTINCT block_number FROM main.outbox JOIN main.circ c ON c.outbox_id = outbox.id
            WHERE block_number > ? ORDER BY 1 LIMIT {_PAGE_ROWS}"""
        after = -1
        while page := [number for (number,) in self._db.execute(query, [after])]:
            yield page
            after = page[-1]

    def know(self, blocks: Iterable[tuple[int, int]]) -> None:
        """Blocks with their times, in seconds since 1970."""
        self._db.executemany("INSERT INTO scratch.block VALUES (?, ?)", blocks)

    def settle(self, began: int, now: int) -> None:
        """Keep what can be so, and give the other circs the time of their block, or ``now`` if none holds them.

        None was recorded before ``began``. Both are in microseconds since 1970.
        """
        for statement in _STATEMENTS:
            self._db.execute(statement, {"began": began, "now": now, "apart": CLOCKS_APART_MICROS})
