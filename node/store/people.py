"""Users and orgs in the index. Writers run inside ``Store.write()``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from node.domain.records import Org, User
from node.domain.roles import Role
from node.store import tables as t

_COLUMNS = (
    *("id", "username", "nickname", "avatar", "role", "password_hash", "token_epoch", "deleted"),
    *("org_id", "role_before", "created_at"),
)


def _users(where: str, *values: object) -> list[User]:
    columns = ", ".join(_COLUMNS)
    return [_user(row) for row in t.run(f'SELECT {columns} FROM "user" WHERE {where}', *values)]


def _user(row: tuple[Any, ...]) -> User:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["role"] = Role(values["role"])
    values["role_before"] = Role(values["role_before"]) if values["role_before"] else None
    values["deleted"] = bool(values["deleted"])
    return User(**values)


def _one(where: str, *values: object) -> User | None:
    found = _users(where, *values)
    return found[0] if found else None


def add_user(*, username: str, nickname: str, role: Role, password_hash: str, now: int) -> User:
    """A new user."""
    made = t.User.create(
        username=username,
        nickname=nickname,
        role=role.value,
        password_hash=password_hash,
        created_at=now,
    )
    return known(made.id)


def known(user_id: int) -> User:
    """The user with an id that something in the index names."""
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


def change_user(user_id: int, **columns: object) -> User:
    """Set columns of a user and answer the user as it is now."""
    t.User.update(**columns).where(t.User.id == user_id).execute()
    return known(user_id)


def rehash(user_id: int, before: str, after: str) -> None:
    """Store the same password anew, unless it was changed meanwhile."""
    t.User.update(password_hash=after).where(t.User.id == user_id, t.User.password_hash == before).execute()


def revoke_tokens(user_id: int) -> None:
    """Every token that the user has dies at once."""
    t.User.update(token_epoch=t.User.token_epoch + 1).where(t.User.id == user_id).execute()


def members(org_id: int, after: int, offset: int, limit: int) -> list[User]:
    """The users of an org behind user ``after``, by id."""
    where = "org_id = ? AND id > ? AND NOT deleted ORDER BY id LIMIT ? OFFSET ?"
    return _users(where, org_id, after, limit, offset)


def add_org(*, name: str, code: str, info: bytes, owner_id: int, now: int) -> Org:
    """A new org."""
    made = t.Org.create(
        name=name,
        code=code,
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
    return Org(row.id, row.name, row.code, bytes(row.info), row.owner.username)


def org(org_id: int) -> Org | None:
    """The org with this id."""
    return _orgs(t.Org.id == org_id)


def org_with_code(code: str) -> Org | None:
    """The org with this social credit code."""
    return _orgs(t.Org.code == code)


def change_org(org_id: int, **columns: object) -> None:
    """Set columns of an org."""
    t.Org.update(**columns).where(t.Org.id == org_id).execute()
