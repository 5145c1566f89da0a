"""Roles: what each inherits, and what the contract lets a user of each role do."""

from __future__ import annotations

from enum import StrEnum

from node.domain.model import Rights


class Role(StrEnum):
    """A user's role; the names are those of iam.v1.Role."""

    NORMAL = "normal"
    TRANSPORTER = "transporter"
    PRODUCER = "producer"
    BOSS = "boss"
    EXAMINER = "examiner"
    ADMIN = "admin"


_PARENTS: dict[Role, tuple[Role, ...]] = {
    Role.NORMAL: (),
    Role.TRANSPORTER: (Role.NORMAL,),
    Role.PRODUCER: (Role.TRANSPORTER,),
    Role.BOSS: (Role.PRODUCER,),
    Role.EXAMINER: (Role.NORMAL,),
    Role.ADMIN: (Role.BOSS, Role.EXAMINER),
}


def _all_of(role: Role) -> frozenset[Role]:
    return frozenset({role}).union(*(_all_of(parent) for parent in _PARENTS[role]))


INHERITED: dict[Role, frozenset[Role]] = {role: _all_of(role) for role in Role}

_OWN_RIGHTS: dict[Role, Rights] = {
    Role.NORMAL: Rights.NONE,
    Role.TRANSPORTER: Rights.CIRCULATE,
    Role.PRODUCER: Rights.PRODUCE,
    Role.EXAMINER: Rights.CIRCULATE | Rights.EXAMINE,
}


def has(role: Role, needed: Role) -> bool:
    """Whether ``role`` is ``needed`` or inherits it."""
    return needed in INHERITED[role]


def _rights_of(role: Role) -> Rights:
    rights = Rights.NONE
    for inherited in INHERITED[role]:
        rights |= _OWN_RIGHTS.get(inherited, Rights.NONE)
    return rights


_RIGHTS: dict[Role, Rights] = {role: _rights_of(role) for role in Role}


def rights_of(role: Role) -> Rights:
    """The contract rights of a user with ``role``: those of every role that it inherits."""
    return _RIGHTS[role]
