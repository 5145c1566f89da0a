"""The node's own private keys in the index, sealed under the master key."""

from __future__ import annotations

from collections.abc import Callable

from node.store import tables as t
from node.store.seal import Seal


def own_key(seal: Seal, name: str, make: Callable[[], bytes]) -> bytes:
    """The key called ``name``; made and kept at the first call (inside ``Store.write()``)."""
    key = known_key(seal, name)
    if key is None:
        key = make()
        keep_key(seal, name, key)
    return key


def known_key(seal: Seal, name: str) -> bytes | None:
    """The key called ``name``, if there is one."""
    row = t.SealedKey.get_or_none(t.SealedKey.name == name)
    return None if row is None else seal.open(name, bytes(row.sealed))


def keep_key(seal: Seal, name: str, key: bytes) -> None:
    """Keep ``key`` as the one called ``name``, whatever that was before (inside ``Store.write()``)."""
    t.SealedKey.delete().where(t.SealedKey.name == name).execute()
    t.SealedKey.create(name=name, sealed=seal.close(name, key))


def known_keys(seal: Seal, prefix: str) -> list[tuple[str, bytes]]:
    """The names that begin with ``prefix``, and their keys."""
    rows = list(t.SealedKey.select().where(t.SealedKey.name.startswith(prefix)))
    return [(row.name, seal.open(row.name, bytes(row.sealed))) for row in rows]


def forget_key(name: str) -> None:
    """There is no key called ``name`` any more (inside ``Store.write()``)."""
    t.SealedKey.delete().where(t.SealedKey.name == name).execute()
