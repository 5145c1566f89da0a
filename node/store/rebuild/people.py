"""The actors of the index under construction, and the users behind them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from node.domain.model import Rights
from node.domain.roles import Role


@dataclass(frozen=True, slots=True)
class OldActor:
    """A row of the old index; ``sovereign_by`` and ``account_before`` as in the table."""

    id: int
    user_id: int
    account: str
    key_sealed: bytes
    rights: Rights
    outbox_id: int
    last_outbox: int | None = None
    sovereign_by: int | None = None
    account_before: str | None = None


class People:
    """Rows of actors and users."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def users(self) -> Iterator[tuple[int, str]]:
        """Id and username of everybody."""
        yield from self._db.execute("SELECT id, username FROM main.user")

    def add_lost_user(self, username: str) -> int:
        """Somebody of whom only the name's digest is left: can't log in, and nothing can be handed to them."""
        insert = """
            INSERT INTO main.user (username, nickname, avatar, role, password_hash, token_epoch, deleted, created_at)
            VALUES (?, '', '', ?, '', 0, 1, 0)
            ON CONFLICT (username) DO UPDATE SET deleted = 1 RETURNING id"""
        (found,) = self._db.execute(insert, (username, Role.NORMAL.value)).fetchall()
        return int(found[0])

    def old_actors(self) -> Iterator[OldActor]:
        """The actors as the old index had them."""
        columns = "id, user_id, account, key_sealed, rights, registered_by_id, sovereign_by, account_before"
        query = f"SELECT {columns} FROM scratch.old_actor ORDER BY id"
        for id_, user_id, account, key_sealed, rights, outbox_id, by, before in self._db.execute(query):
            key = bytes(key_sealed)
            yield OldActor(id_, user_id, account, key, Rights(rights & 7), outbox_id, None, by, before)

    def add(self, actor: OldActor) -> None:
        """An actor; it takes a free id, user and registration."""
        columns = "id, user_id, account, key_sealed, rights, registered_by_id"
        more, last = "last_outbox, sovereign_by, account_before", actor.last_outbox or actor.outbox_id
        known = (actor.id, actor.user_id, actor.account, actor.key_sealed, int(actor.rights), actor.outbox_id)
        values = (*known, last, actor.sovereign_by, actor.account_before)
        self._db.execute(f"INSERT INTO main.actor ({columns}, {more}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
