"""Everything of the index that is sealed under the master key, and sealing it under another.

The name of a sealed value says its row and column, so that it opens nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from node.store import tables as t
from node.store.db import Store
from node.store.seal import Seal

CHECK = "master_key_check"
"""A setting that opens under the right master key alone."""
PHONE_SCOPE = "phone "
PHONE = "phone"
_ROWS = 500


def actor_key(actor_id: int) -> str:
    """The name of an actor's key."""
    return f"actor {actor_id}"


def webhook_secret(webhook_id: int) -> str:
    """The name of a webhook's secret."""
    return f"webhook {webhook_id}"


def answer(scope: str, key: str) -> str:
    """The name of the answer to a call with an idempotency key."""
    return f"answer {scope} {key}"


def personal(user_id: int, column: str) -> str:
    """The name of a value of a person."""
    return f"person {user_id} {column}"


def contact(org_id: int, column: str) -> str:
    """The name of a value of an org's legal representative."""
    return f"org {org_id} {column}"


def log_origin(number: int) -> str:
    """The name of where an entry of the audit log came from."""
    return f"log {number} from"


def phone_index(seal: Seal, phone: str) -> bytes:
    """Under what a phone is found. A number that may be a login has one form only."""
    return seal.index(PHONE, phone)


def phone_scope(seal: Seal, phone: str) -> str:
    """Whose the idempotency keys of somebody are who has no user yet."""
    return PHONE_SCOPE + phone_index(seal, phone).hex()


_PERSON = ("phone_sealed", "email_sealed", "realname_sealed", "resident_id_sealed")
_CONTACT = ("legal_name_sealed", "legal_phone_sealed")

COLUMNS: tuple[tuple[str, str, str, Callable[[Any], str]], ...] = (
    ("sealed_key", "name", "sealed", str),
    ("actor", "id", "key_sealed", actor_key),
    ("webhook", "id", "secret_sealed", webhook_secret),
    ("log_origin", "number", "sealed", log_origin),
    *(("person", "user_id", each, lambda key, each=each: personal(key, plain(each))) for each in _PERSON),
    *(("org_contact", "org_id", each, lambda key, each=each: contact(key, plain(each))) for each in _CONTACT),
)
"""Table, its key, the column and the name of its values by that key. Answers have two keys and are seen to apart."""


def plain(column: str) -> str:
    """What a sealed column is called in a name."""
    return column.removesuffix("_sealed")


def check_of(store: Store) -> tuple[str, bytes] | None:
    """The name and bytes of something that the right master key opens; None if nothing is sealed yet."""
    known = store.settings().get(CHECK)
    if known is not None:
        return CHECK, bytes.fromhex(known)
    for table, key, column, name in COLUMNS[:2]:  # of a data directory from before there was a check
        found = t.run(f"SELECT {key}, {column} FROM {table} WHERE {column} != ? LIMIT 1", b"").fetchone()
        if found is not None:
            return name(found[0]), bytes(found[1])
    return None


def remember_check(store: Store, seal: Seal) -> None:
    """From now on this is the master key of the index (inside ``Store.write()``)."""
    store.remember(**{CHECK: seal.close(CHECK, b"").hex()})


def seal_anew(store: Store, old: Seal, new: Seal) -> int:
    """Seal everything under another master key (inside ``Store.write()``); answers how many values."""
    total = 0
    for table, key, column, name in COLUMNS:
        change = f"UPDATE {table} SET {column} = ? WHERE {key} = ?"
        for row, sealed in _each(table, key, column):
            if sealed:
                t.run(change, new.close(name(row), old.open(name(row), bytes(sealed))), row)
                total += 1
    scopes = _index_anew(old, new)
    for id_, scope, key, sealed in _answers():
        moved = scopes.get(scope, scope) if scope.startswith(PHONE_SCOPE) else scope
        if scope.startswith(PHONE_SCOPE) and scope not in scopes:
            t.run("DELETE FROM idempotency WHERE id = ?", id_)  # nobody with that phone is left to ask again
            continue
        again = new.close(answer(moved, key), old.open(answer(scope, key), bytes(sealed)))
        t.run("UPDATE idempotency SET scope = ?, answer_sealed = ? WHERE id = ?", moved, again, id_)
        total += 1
    remember_check(store, new)
    return total


def _index_anew(old: Seal, new: Seal) -> dict[str, str]:
    """Give every phone its new index; answers the scopes of idempotency keys that change with it."""
    asked = {scope for (scope,) in t.run("SELECT DISTINCT scope FROM idempotency WHERE scope LIKE 'phone %'")}
    scopes: dict[str, str] = {}
    for user_id, sealed in _each("person", "user_id", "phone_sealed"):
        phone = new.open(personal(user_id, PHONE), bytes(sealed)).decode()
        change = "UPDATE person SET phone_index = ? WHERE user_id = ? AND phone_index IS NOT NULL"
        t.run(change, phone_index(new, phone), user_id)
        before = phone_scope(old, phone)
        if before in asked:
            scopes[before] = phone_scope(new, phone)
    return scopes


def _each(table: str, key: str, column: str) -> Iterator[tuple[Any, Any]]:
    """Key and value of every row, some at a time, since the rows change meanwhile."""
    query = f"SELECT {key}, {column} FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT {_ROWS}"
    after: Any = "" if table == "sealed_key" else -1
    while page := t.run(query, after).fetchall():
        yield from page
        after = page[-1][0]


def _answers() -> Iterator[tuple[int, str, str, bytes]]:
    query = f"SELECT id, scope, key, answer_sealed FROM idempotency WHERE id > ? ORDER BY id LIMIT {_ROWS}"
    after = 0
    while page := t.run(query, after).fetchall():
        yield from page
        after = page[-1][0]
