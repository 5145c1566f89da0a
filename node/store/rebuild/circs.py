"""The circs of the index under construction, and their forms."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from node.domain.cid import RAW, Cid
from node.domain.form import NO_SALT
from node.domain.model import CircStatus
from node.domain.records import TxKind
from node.store.rebuild.transactions import Mined, Transactions

_PAGE_ROWS = 500
_ARRIVED = (
    # Its own transaction is the one whose bytes ask for it. A second circ with the same digest is another one.
    """UPDATE scratch.arrived SET outbox_id = (SELECT outbox_id FROM scratch.sent s WHERE s.digest = arrived.digest)""",
    """UPDATE scratch.arrived SET outbox_id = NULL WHERE outbox_id IS NOT NULL AND EXISTS (
        SELECT 1 FROM scratch.arrived a WHERE a.outbox_id = arrived.outbox_id AND a.circ_id < arrived.circ_id)""",
    """DELETE FROM scratch.sent WHERE digest IN (SELECT digest FROM scratch.arrived)""",
    """INSERT INTO scratch.carried SELECT outbox_id, circ_id, a.tx_hash FROM scratch.arrived a
        JOIN main.outbox o ON o.id = outbox_id WHERE o.tx_hash != a.tx_hash""",
    # What the outbox lacks gets a row, to be filled later.
    """UPDATE scratch.arrived SET outbox_id = :last + number FROM (
        SELECT circ_id AS lacking, row_number() OVER (ORDER BY circ_id) AS number
        FROM scratch.arrived WHERE outbox_id IS NULL) WHERE circ_id = lacking""",
    """INSERT INTO main.outbox (id, signer, nonce, kind, signed_bytes, tx_hash, state)
        SELECT outbox_id, '', outbox_id, :kind, x'', tx_hash, '' FROM scratch.arrived WHERE outbox_id > :last""",
    """UPDATE main.outbox SET state = a.state, block_number = a.block_number, block_hash = a.block_hash,
        mined_hash = a.tx_hash FROM scratch.arrived a WHERE a.outbox_id = outbox.id""",
    """INSERT INTO scratch.used SELECT outbox_id FROM scratch.arrived""",
    """INSERT INTO main.circ
        (id, circ_type, operator_id, to_id, form, salt, status, outbox_id, created_at, private, erased_digest)
        SELECT circ_id, circ_type, operator, receiver, coalesce(form, x''), coalesce(salt, :no_salt), status, outbox_id,
            coalesce(created_at, 0), private, erased
        FROM scratch.arrived a LEFT JOIN scratch.known k ON k.digest = a.digest""",
    """INSERT INTO scratch.chain SELECT circ_id, digest FROM scratch.arrived""",
    """DELETE FROM scratch.arrived""",
)
"""What becomes of a batch of circs from the chain."""


@dataclass(frozen=True, slots=True)
class ChainCirc:
    """A circ as the chain has it, or as its signed bytes ask for it. ``goods`` has each goods with its times."""

    circ_type: int
    operator: int
    to: int
    digest: bytes
    status: CircStatus
    goods: Sequence[tuple[int, int | None]]


class Circs:
    """Rows of circs; the forms that were found before are attached to them as they come."""

    def __init__(self, db: sqlite3.Connection, transactions: Transactions) -> None:
        self._db = db
        self._transactions = transactions
        self.total = 0

    def add_mined(self, circs: Sequence[tuple[ChainCirc, Mined]]) -> None:
        """Circs that the chain took, in its order."""
        rows = []
        goods: list[tuple[int, int, int | None]] = []
        for number, (circ, mined) in enumerate(circs, self.total + 1):
            what = (circ.circ_type, circ.operator, circ.to, circ.status.value)
            where = (mined.state.value, mined.block_number, mined.block_hash, mined.tx_hash)
            rows.append((number, circ.digest, *what, *where))
            goods += [(goods_id, number, times) for goods_id, times in circ.goods]
        self.total += len(rows)
        self._db.executemany("INSERT INTO scratch.arrived VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)", rows)
        (last,) = self._db.execute("SELECT coalesce(max(id), 0) FROM main.outbox").fetchone()
        for statement in _ARRIVED:
            self._db.execute(statement, {"last": last, "kind": TxKind.CIRC.value, "no_salt": NO_SALT})
        self._add_goods(goods)

    def carried(self) -> list[tuple[int, int, str, str, int, str]]:
        """Circs that another transaction carried than the one they are known by.

        Circ id, outbox id, the hash that carried it; of its own transaction signer, nonce and hash.
        """
        query = """
            SELECT circ_id, outbox_id, c.tx_hash, signer, nonce, x.tx_hash
            FROM scratch.carried c JOIN main.outbox x ON x.id = outbox_id ORDER BY circ_id"""
        return self._db.execute(query).fetchall()

    def wait(self, circ_id: int) -> None:
        """A circ that is on the chain stays pending, since its own transaction is still on its way."""
        self._db.execute("UPDATE main.circ SET status = ? WHERE id = ?", (CircStatus.PENDING.value, circ_id))

    def add(self, circ: ChainCirc, outbox_id: int, reason: str | None = None) -> None:
        """One circ, behind all that are there; ``reason`` says why it failed, if nothing better is known."""
        self.total += 1
        insert = """
            INSERT INTO main.circ (id, circ_type, operator_id, to_id, form, salt, status, outbox_id, created_at, reason,
                private, erased_digest)
            SELECT ?, ?, ?, ?, coalesce(form, x''), coalesce(salt, ?), ?, ?, coalesce(created_at, 0),
                CASE WHEN ? IS NULL THEN NULL ELSE coalesce(reason, ?) END, private, erased
            FROM (SELECT 1) LEFT JOIN scratch.known ON digest = ?"""
        values = (self.total, circ.circ_type, circ.operator, circ.to, NO_SALT, circ.status.value, outbox_id)
        self._db.execute(insert, (*values, reason, reason, circ.digest))
        self._db.execute("INSERT INTO scratch.chain VALUES (?, ?)", (self.total, circ.digest))
        self._add_goods([(goods_id, self.total, times) for goods_id, times in circ.goods])

    def _add_goods(self, rows: Iterable[tuple[int, int, int | None]]) -> None:
        self._db.executemany("INSERT INTO main.circ_goods (goods_id, circ_id, times) VALUES (?, ?, ?)", rows)

    def put_failed_in_order(self) -> None:
        """Failed circs stand where they were recorded: before the first other one that was recorded after them."""
        failed = CircStatus.FAILED.value
        query = "SELECT id, outbox_id FROM main.circ WHERE status {} ? ORDER BY {}"
        others = self._db.execute(query.format("!=", "id"), [failed])
        self._db.executemany(
            "INSERT INTO scratch.moved VALUES (?, ?)",
            _moves(others, self._db.execute(query.format("=", "outbox_id"), [failed]).fetchall()),
        )
        for table, column in (("main.circ", "id"), ("main.circ_goods", "circ_id"), ("scratch.chain", "circ_id")):
            moved = f"SELECT number FROM scratch.moved WHERE before = {column}"
            which = f"{column} IN (SELECT before FROM scratch.moved)"
            # Twice, since a number may still be another row's.
            self._db.execute(f"UPDATE {table} SET {column} = -({moved}) WHERE {which}")
            self._db.execute(f"UPDATE {table} SET {column} = -{column} WHERE {column} < 0")

    def mark_last(self) -> None:
        """Goods with pending circs know the last of them, so that what is recorded next goes behind it."""
        pending = """
            SELECT goods_id, max(outbox_id) AS last FROM main.circ_goods JOIN main.circ c ON c.id = circ_id
            WHERE status = ? GROUP BY goods_id"""
        change = f"UPDATE main.goods SET last_outbox = last FROM ({pending}) WHERE goods_id = id"
        self._db.execute(change, [CircStatus.PENDING.value])

    def erased(self) -> int:
        """How many circs have lost their form on purpose."""
        (total,) = self._db.execute("SELECT count(*) FROM main.circ WHERE erased_digest IS NOT NULL").fetchone()
        return int(total)

    def formless(self) -> Iterator[tuple[int, bytes]]:
        """The circs whose form is missing, and was not forgotten on purpose: id and digest."""
        query = """
            SELECT c.id, digest FROM main.circ c JOIN scratch.chain ON circ_id = c.id
            WHERE salt = ? AND erased_digest IS NULL AND c.id > ? ORDER BY c.id LIMIT ?"""
        after = 0
        while page := self._db.execute(query, (NO_SALT, after, _PAGE_ROWS)).fetchall():
            yield from page
            after = page[-1][0]

    def set_form(self, circ_id: int, salt: bytes, form: bytes) -> None:
        """Attach a form that was found."""
        self._db.execute("UPDATE main.circ SET salt = ?, form = ? WHERE id = ?", (salt, form, circ_id))

    def note_kept(self, digest: bytes, size: int) -> None:
        """The node's own store of files has the block of a form."""
        self._db.execute("INSERT OR IGNORE INTO scratch.kept VALUES (?, ?)", (str(Cid(RAW, digest)), size))

    def publish(self) -> None:
        """Say again which circs' blocks the store of files has."""
        self._db.create_function("cid_of", 1, lambda digest: str(Cid(RAW, digest)), deterministic=True)
        self._db.execute("""
            INSERT OR IGNORE INTO main.published (circ_id, cid, size)
            SELECT circ_id, cid, size FROM scratch.chain JOIN scratch.kept ON cid = cid_of(digest)
            WHERE (SELECT count(*) FROM scratch.kept) > 0""")


def _moves(others: Iterable[tuple[int, int]], failed: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Old and new ids of the circs that move; both are given in their order, with the ids of their transactions."""
    waiting, number = deque(failed), 0
    for circ_id, outbox_id in others:
        while waiting and waiting[0][1] < outbox_id:
            number += 1
            yield waiting.popleft()[0], number
        number += 1
        if circ_id != number:
            yield circ_id, number
    for circ_id, _ in waiting:
        number += 1
        yield circ_id, number
