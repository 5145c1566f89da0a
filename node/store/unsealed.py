"""Sealing what older versions kept open. Migration 0012 put it aside, since it had no master key.

All of it is sealed in one transaction, which drops what was put aside. Its bytes are then wiped from the file; until
that is done a setting says that it is due, so a process that dies in between leaves it to the next start.
"""

from __future__ import annotations

from node.errors import IndexUnavailable, SetupError
from node.store import personal, sealed
from node.store import tables as t
from node.store.db import Store
from node.store.seal import Seal

PERSON = "unsealed_person"
CONTACT = "unsealed_contact"
COLUMNS = {
    PERSON: ("user", ("id", "phone", "email", "realname", "resident_id_sealed", "deleted")),
    CONTACT: ("org", ("id", "legal_name", "legal_phone")),
}
"""What was put aside: the table that it was in, and its columns."""
WIPE = "wipe_due"


def seal_all(store: Store, seal: Seal) -> None:
    """Seal what stands open, if anything does, and wipe what is due to be; SetupError where it can't be wiped."""
    waiting = set(t.database.get_tables()) & COLUMNS.keys()
    if waiting:
        with store.write():
            if PERSON in waiting:
                _seal_persons(seal)
            if CONTACT in waiting:
                _seal_contacts(seal)
            _seal_answers(seal)
            for table in waiting:
                t.run(f"DROP TABLE {table}")
            wipe_later(store)
    if WIPE in store.settings():
        wipe(store)


def wipe_later(store: Store) -> None:
    """What this transaction deletes must not stay in the file (inside ``Store.write()``; ``wipe`` after it)."""
    store.remember(**{WIPE: "yes"})


def wipe(store: Store) -> None:
    """Leave nothing in the index's files of what was deleted."""
    try:
        store.write_anew()
        with store.write():
            store.forget(WIPE)
    except IndexUnavailable as fault:
        raise SetupError(
            f"what was deleted can't be wiped from the index now: {fault}; end other programs that use it, see that "
            "its disk has room for a second copy, and start again"
        ) from fault


def _seal_persons(seal: Seal) -> None:
    columns = ", ".join(COLUMNS[PERSON][1])
    for user_id, phone, email, realname, resident_id, deleted in t.run(f"SELECT {columns} FROM {PERSON}").fetchall():
        personal.add(seal, user_id, phone, is_login=bool(phone) and not deleted)
        number = None if resident_id is None else seal.open(f"resident id {user_id}", bytes(resident_id)).decode()
        personal.change(seal, user_id, email=email or None, realname=realname or None, resident_id=number)


def _seal_contacts(seal: Seal) -> None:
    for org_id, name, phone in t.run(f"SELECT {', '.join(COLUMNS[CONTACT][1])} FROM {CONTACT}").fetchall():
        if name or phone:
            personal.keep_contact(seal, org_id, name, phone)


def _seal_answers(seal: Seal) -> None:
    """Keys of calls by somebody without a user stood beside the phone itself."""
    rows = t.run(
        "SELECT id, scope, key, answer_sealed FROM idempotency WHERE scope LIKE 'phone 1__________'"
    ).fetchall()
    for id_, scope, key, answer in rows:
        moved = sealed.phone_scope(seal, scope.removeprefix(sealed.PHONE_SCOPE))
        again = seal.close(sealed.answer(moved, key), seal.open(sealed.answer(scope, key), bytes(answer)))
        t.run("UPDATE idempotency SET scope = ?, answer_sealed = ? WHERE id = ?", moved, again, id_)
