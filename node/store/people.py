"""Users and orgs in the index. Writers run inside ``Store.write()``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from node.domain.records import Org, User
from node.domain.roles import Role
from node.store import tables as t

_COLUMNS = (
    "id, username, nickname, phone, email, avatar, role, password_hash, token_epoch, deleted, realname, "
    "resident_id_masked, org_id, role_before, created_at"
)
"""In the order of User."""
_ROLE, _DELETED, _ROLE_BEFORE = (_COLUMNS.split(", ").index(name) for name in ("role", "deleted", "role_before"))


def _users(where: str, *values: object) -> list[User]:
    return [_user(*row) for row in t.run(f'SELECT {_COLUMNS} FROM "user" WHERE {where}', *values)]


def _user(*row: Any) -> User:
    values = list(row)
    values[_ROLE] = Role(values[_ROLE])
    values[_DELETED] = bool(values[_DELETED])
    values[_ROLE_BEFORE] = Role(values[_ROLE_BEFORE]) if values[_ROLE_BEFORE] else None
    return User(*values)


def _one(where: str, *values: object) -> User | None:
    found = _users(where, *values)
    return found[0] if found else None


def add_user(*, username: str, nickname: str, phone: str, role: Role, password_hash: str, now: int) -> User:
    """A new user."""
    made = t.User.create(
        username=username,
        nickname=nickname,
        phone=phone,
        role=role.value,
        password_hash=password_hash,
        created_at=now,
    )
    return _known(made.id)


def _known(user_id: int) -> User:
    found = user(user_id)
    assert found is not None
    return found


def user(user_id: int) -> User | None:
    """The user with this id, deleted or not."""
    return _one("id = ?", user_id)


def users(user_ids: Collection[int]) -> list[User]:
    """The users with these ids, deleted or not."""
    return _users(f"id IN {t.places(len(user_ids))}", *user_ids)


def users_called(usernames: Collection[str]) -> list[User]:
    """The users with these usernames, deleted or not."""
    return _users(f"username IN {t.places(len(usernames))}", *usernames)


def user_called(username: str) -> User | None:
    """The user with this username, deleted or not."""
    return _one("username = ?", username)


def user_with_phone(phone: str) -> User | None:
    """The user who logs in with this phone; deleted users have none."""
    return _one("phone = ? AND NOT deleted", phone)


def change_user(user_id: int, **columns: object) -> User:
    """Set columns of a user and answer the user as it is now."""
    t.User.update(**columns).where(t.User.id == user_id).execute()
    return _known(user_id)


def revoke_tokens(user_id: int) -> None:
    """Every token that the user has dies at once."""
    t.User.update(token_epoch=t.User.token_epoch + 1).where(t.User.id == user_id).execute()


def members(org_id: int, offset: int, limit: int) -> list[User]:
    """The users of an org, by id."""
    return _users("org_id = ? AND NOT deleted ORDER BY id LIMIT ? OFFSET ?", org_id, limit, offset)


def add_org(*, name: str, code: str, legal_name: str, legal_phone: str, info: bytes, owner_id: int, now: int) -> Org:
    """A new org."""
    made = t.Org.create(
        name=name,
        code=code,
        legal_name=legal_name,
        legal_phone=legal_phone,
        info=info,
        owner=owner_id,
        created_at=now,
    )
    found = org(made.id)
    assert found is not None
    return found


def _orgs(*where: Any) -> Org | None:
    row = t.Org.select(t.Org, t.User).join(t.User).where(*where).first()
    if row is None:
        return None
    return Org(row.id, row.name, row.code, row.legal_name, row.legal_phone, bytes(row.info), row.owner.username)


def org(org_id: int) -> Org | None:
    """The org with this id."""
    return _orgs(t.Org.id == org_id)


def org_with_code(code: str) -> Org | None:
    """The org with this social credit code."""
    return _orgs(t.Org.code == code)


def change_org(org_id: int, **columns: object) -> None:
    """Set columns of an org."""
    t.Org.update(**columns).where(t.Org.id == org_id).execute()
