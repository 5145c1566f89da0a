"""The outbox of the index under construction: the old rows, and those that are added from the chain."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from node.domain.records import TxKind, TxState

_PAGE_ROWS = 500


@dataclass(frozen=True, slots=True)
class Mined:
    """How far a mined transaction is, and its block."""

    state: TxState
    block_number: int
    block_hash: str
    tx_hash: str


@dataclass(frozen=True, slots=True)
class OldTransaction:
    """A row of the old outbox."""

    id: int
    signer: str
    nonce: int
    kind: str
    raw: bytes
    tx_hash: str
    live_hash: str


class Transactions:
    """Rows of the outbox. A row that something on the chain was matched with is used; what is unused may be pending."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def old(self, *, unused: bool) -> Iterator[OldTransaction]:
        """The outbox in the order of recording; ``unused`` those only that nothing on the chain was matched with."""
        where = "AND id NOT IN (SELECT outbox_id FROM scratch.used)" if unused else ""
        columns = "id, signer, nonce, kind, signed_bytes, tx_hash, coalesce(live_hash, tx_hash)"
        query = f"SELECT {columns} FROM main.outbox WHERE id > ? {where}"
        after = 0
        while page := self._db.execute(f"{query} ORDER BY id LIMIT {_PAGE_ROWS}", [after]).fetchall():
            for id_, signer, nonce, kind, raw, tx_hash, live_hash in page:
                yield OldTransaction(id_, signer, nonce, kind, bytes(raw), tx_hash, live_hash)
            after = page[-1][0]

    def of_kind(self, kind: TxKind) -> list[str]:
        """The hashes of the transactions of a kind."""
        return [
            tx_hash for (tx_hash,) in self._db.execute("SELECT tx_hash FROM main.outbox WHERE kind = ?", [kind.value])
        ]

    def drop(self, outbox_id: int) -> None:
        """Forget a row of the outbox that can't be what it says."""
        self._db.execute("DELETE FROM main.outbox WHERE id = ?", [outbox_id])
        self._db.execute("DELETE FROM scratch.sent WHERE outbox_id = ?", [outbox_id])

    def mend_hash(self, outbox_id: int, tx_hash: str) -> None:
        """Give a transaction the hash that its bytes have."""
        self._db.execute("UPDATE OR IGNORE main.outbox SET tx_hash = ? WHERE id = ?", (tx_hash, outbox_id))

    def carry(self, digests: Iterable[tuple[bytes, int]]) -> None:
        """Which transactions of the outbox ask for the circs with these digests."""
        rows = list(digests)
        self._db.executemany("INSERT OR IGNORE INTO scratch.sent VALUES (?, ?)", rows)
        change = "UPDATE main.outbox SET kind = ? WHERE id = ? AND kind != ?"
        self._db.executemany(change, [(TxKind.CIRC.value, tx_id, TxKind.CIRC.value) for _, tx_id in rows])

    def mark(self, outbox_id: int, mined: Mined) -> None:
        """A transaction of the outbox was mined, itself or by another that did its work."""
        values = (mined.state.value, mined.block_number, mined.block_hash, mined.tx_hash, outbox_id)
        change = "UPDATE main.outbox SET state = ?, block_number = ?, block_hash = ?, mined_hash = ? WHERE id = ?"
        self._db.execute(change, values)
        self._db.execute("INSERT OR IGNORE INTO scratch.used VALUES (?)", [outbox_id])

    def mark_hash(self, kind: TxKind, mined: Mined) -> None:
        """The same for the transaction with this very hash; one that the outbox lacks is added."""
        found = self._db.execute("SELECT id FROM main.outbox WHERE tx_hash = ?", [mined.tx_hash]).fetchone()
        self.mark(found[0] if found else self.placeholder(kind, mined.tx_hash), mined)

    def replaced(self, outbox_id: int) -> list[str]:
        """The hashes that a transaction had before it was signed again."""
        query = "SELECT tx_hash FROM main.replaced WHERE outbox_id = ? ORDER BY id DESC"
        return [tx_hash for (tx_hash,) in self._db.execute(query, [outbox_id])]

    def unsend(self, outbox_id: int) -> None:
        """No block holds a transaction: it is to be sent (again)."""
        change = "UPDATE main.outbox SET state = ?, block_number = NULL, block_hash = NULL, mined_hash = NULL"
        self._db.execute(f"{change} WHERE id = ?", (TxState.SIGNED.value, outbox_id))

    def placeholder(self, kind: TxKind, tx_hash: str) -> int:
        """A transaction that the outbox lacks; ``lacking`` says what is to be found out of it."""
        (number,) = self._db.execute("SELECT coalesce(max(id), 0) + 1 FROM main.outbox").fetchone()
        insert = "INSERT INTO main.outbox (id, signer, nonce, kind, signed_bytes, tx_hash, state) VALUES"
        self._db.execute(f"{insert} (?, '', ?, ?, x'', ?, '')", (number, number, kind.value, tx_hash))
        return int(number)

    def lacking(self) -> Iterator[list[tuple[int, str]]]:
        """The transactions that were added: id and hash, in batches."""
        # Such a row's nonce is its id, and there is an index of signers and nonces.
        query = f"SELECT id, tx_hash FROM main.outbox WHERE signer = '' AND nonce > ? ORDER BY nonce LIMIT {_PAGE_ROWS}"
        after = 0
        while page := self._db.execute(query, [after]).fetchall():
            yield page
            after = page[-1][0]

    def lacking_total(self) -> int:
        """How many they are."""
        return int(self._db.execute("SELECT count(*) FROM main.outbox WHERE signer = ''").fetchone()[0])

    def fill(self, added: Sequence[tuple[int, str, int, bytes]]) -> None:
        """What added transactions are: id, signer, nonce and bytes.

        Without its bytes one can't be sent again, so it counts as final.
        """
        self._db.executemany(
            "UPDATE main.outbox SET signer = ?2, nonce = ?3, signed_bytes = ?4 WHERE id = ?1",
            added,
        )
        final = "UPDATE main.outbox SET state = ? WHERE id = ? AND state = ?"
        bare = [(TxState.FINAL.value, outbox_id, TxState.MINED.value) for outbox_id, _, _, raw in added if not raw]
        self._db.executemany(final, bare)

    def at_nonces(self, wanted: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, bytes]]:
        """Of these signers and nonces those at which the outbox has a transaction: its id and bytes."""
        query = """
            SELECT o.signer, o.nonce, o.id, o.signed_bytes FROM json_each(?) j CROSS JOIN main.outbox o
            WHERE o.signer = json_extract(j.value, '$[0]') AND o.nonce = json_extract(j.value, '$[1]')"""
        rows = self._db.execute(query, [json.dumps(list(wanted))])
        return {(signer, nonce): (outbox_id, bytes(raw)) for signer, nonce, outbox_id, raw in rows}

    def merge(self, added: int, known: int) -> None:
        """An added transaction is one that the outbox knows by another hash, such as before a fee bump."""
        columns = "state, block_number, block_hash, mined_hash"
        source = f"SELECT {columns} FROM main.outbox WHERE id = ?"
        self._db.execute(f"UPDATE main.outbox SET ({columns}) = ({source}) WHERE id = ?", (added, known))
        self._db.execute("UPDATE main.circ SET outbox_id = ? WHERE outbox_id = ?", (known, added))
        self._db.execute("INSERT OR IGNORE INTO scratch.used VALUES (?)", [known])
        self._db.execute("DELETE FROM main.outbox WHERE id = ?", [added])

    def add(self, kind: TxKind, signer: str, nonce: int, raw: bytes, tx_hash: str) -> None:
        """A transaction of which the chain's events say nothing, such as one that was reverted."""
        self.fill([(self.placeholder(kind, tx_hash), signer, nonce, raw)])

    def nonces(self) -> dict[str, int]:
        """The highest nonce of every signer."""
        return dict(self._db.execute("SELECT signer, max(nonce) FROM main.outbox WHERE signer != '' GROUP BY signer"))

    def registrations(self) -> dict[str, int]:
        """The transactions that registered actors: mined hash → id."""
        query = "SELECT mined_hash, id FROM main.outbox WHERE kind = ? AND mined_hash IS NOT NULL"
        return dict(self._db.execute(query, [TxKind.REGISTER_ACTOR.value]))
