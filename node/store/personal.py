"""What tells who somebody is, sealed in the index. Writers run inside ``Store.write()``.

Nothing that records circs comes here: users and orgs are told apart by their ids.
"""

from __future__ import annotations

from collections.abc import Collection

from node.domain.records import Contact, Personal
from node.store import sealed
from node.store import tables as t
from node.store.seal import Seal

NOTHING_KNOWN = Personal("", "", "", "")
_COLUMNS = ("phone", "email", "realname", "resident_id")
_SEALED = ", ".join(f"{column}_sealed" for column in _COLUMNS)


def add(seal: Seal, user_id: int, phone: str, *, is_login: bool = True) -> None:
    """A new user's data; the phone is the login unless said otherwise."""
    t.run(
        "INSERT INTO person (user_id, phone_index, phone_sealed) VALUES (?, ?, ?)",
        *(user_id, sealed.phone_index(seal, phone) if is_login else None, _closed(seal, user_id, "phone", phone)),
    )


def user_with_phone(seal: Seal, phone: str) -> int | None:
    """The id of the user who logs in with this phone."""
    row = t.run("SELECT user_id FROM person WHERE phone_index = ?", sealed.phone_index(seal, phone)).fetchone()
    return None if row is None else int(row[0])


def release_phone(user_id: int) -> None:
    """The user is deleted: the phone may be somebody's login again."""
    t.run("UPDATE person SET phone_index = NULL WHERE user_id = ?", user_id)


def is_verified(user_id: int) -> bool:
    """Whether the user has shown who it is."""
    row = t.run("SELECT resident_id_sealed IS NOT NULL FROM person WHERE user_id = ?", user_id).fetchone()
    return row is not None and bool(row[0])


def change(
    seal: Seal,
    user_id: int,
    *,
    email: str | None = None,
    realname: str | None = None,
    resident_id: str | None = None,
) -> None:
    """Set values of a user; None leaves one as it is."""
    given = {"email": email, "realname": realname, "resident_id": resident_id}
    for column, value in given.items():
        if value is not None:
            kept = _closed(seal, user_id, column, value)
            t.run(f"UPDATE person SET {column}_sealed = ? WHERE user_id = ?", kept, user_id)


def of(seal: Seal, user_ids: Collection[int]) -> dict[int, Personal]:
    """What is known of these users; of one that was erased NOTHING_KNOWN."""
    found = dict.fromkeys(user_ids, NOTHING_KNOWN)
    for some in t.cut(user_ids):
        rows = t.run(f"SELECT user_id, {_SEALED} FROM person WHERE user_id IN {t.places(len(some))}", *some)
        for user_id, *values in rows:
            opened = zip(_COLUMNS, values, strict=True)
            found[user_id] = Personal(*(_opened(seal, user_id, column, value) for column, value in opened))
    return found


def keep_contact(seal: Seal, org_id: int, legal_name: str, legal_phone: str) -> None:
    """An org's legal representative, whoever it was before."""
    values = {"legal_name": legal_name, "legal_phone": legal_phone}
    kept = [seal.close(sealed.contact(org_id, column), value.encode()) for column, value in values.items()]
    t.run("DELETE FROM org_contact WHERE org_id = ?", org_id)
    t.run("INSERT INTO org_contact (org_id, legal_name_sealed, legal_phone_sealed) VALUES (?, ?, ?)", org_id, *kept)


def contact(seal: Seal, org_id: int) -> Contact:
    """An org's legal representative; empty if it was erased, or lost."""
    query = "SELECT legal_name_sealed, legal_phone_sealed FROM org_contact WHERE org_id = ?"
    row = t.run(query, org_id).fetchone()
    if row is None:
        return Contact("", "")
    names = (sealed.contact(org_id, column) for column in ("legal_name", "legal_phone"))
    return Contact(*(seal.open(name, bytes(value)).decode() for name, value in zip(names, row, strict=True)))


def erase(user_id: int) -> None:
    """Forget who a user is, and the legal representatives of its orgs."""
    t.run("DELETE FROM person WHERE user_id = ?", user_id)
    t.run("DELETE FROM org_contact WHERE org_id IN (SELECT id FROM org WHERE owner_id = ?)", user_id)


def _closed(seal: Seal, user_id: int, column: str, value: str) -> bytes:
    return seal.close(sealed.personal(user_id, column), value.encode())


def _opened(seal: Seal, user_id: int, column: str, value: bytes | None) -> str:
    return "" if value is None else seal.open(sealed.personal(user_id, column), bytes(value)).decode()
