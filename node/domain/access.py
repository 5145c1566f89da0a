"""Who may call what: one table, rpc → roles and scope, and the checks that hold its scopes.

A role is held before the request is looked at, and so is SELF. The other scopes depend on what the index says of orgs
and goods, so they are held where that is read, in the same transaction as what the call changes: ``hold_own_org`` and
``hold_owner`` here, HOLDER by the contract's own rule (``node.domain.custody.apply``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from node.domain.model import CircType
from node.domain.records import Org, User
from node.domain.roles import Role, has
from node.errors import Reason, denied


class Scope(Enum):
    """What a caller with the role may act on."""

    ANYTHING = "anything"
    SELF = "self"
    OWN_ORG = "own org"
    OWNED_ORG = "org owned"
    HOLDER = "goods held"


@dataclass(frozen=True, slots=True)
class Access:
    """A row of the table.

    ``roles`` are those of which the caller needs one, none for an rpc that anyone may call. ``names`` is the field of
    the request, as a path, that can name another user than the caller; only for ``others`` it may.
    """

    roles: tuple[Role, ...]
    scope: Scope
    names: str = ""
    others: Role | None = None

    @property
    def open_to_anyone(self) -> bool:
        """Whether no token is needed."""
        return not self.roles

    def __str__(self) -> str:
        needs = "|".join(role.value for role in self.roles) or "anyone"
        beyond = f", {self.others.value}: anybody" if self.others is not None else ""
        return f"{needs}: {self.scope.value}{beyond}"


def _anyone() -> Access:
    return Access((), Scope.ANYTHING)


def _normal(scope: Scope, names: str = "", others: Role | None = None) -> Access:
    return Access((Role.NORMAL,), scope, names, others)


def _producer(scope: Scope = Scope.OWN_ORG) -> Access:
    return Access((Role.PRODUCER,), scope)


def _boss() -> Access:
    return Access((Role.BOSS,), Scope.OWNED_ORG)


_RECORDERS = Access((Role.TRANSPORTER, Role.EXAMINER), Scope.HOLDER)
_EXAMINER = Access((Role.EXAMINER,), Scope.ANYTHING)

ACCESS: dict[str, Access] = {
    "Register": _anyone(),
    "Token": _anyone(),
    "RefreshToken": _normal(Scope.SELF),
    "Profile": _normal(Scope.SELF),
    "UpdateUser": _normal(Scope.SELF, "user.username.value", Role.ADMIN),
    "DeleteUser": _normal(Scope.SELF, "username", Role.ADMIN),
    "GetOrgUser": _normal(Scope.ANYTHING),
    "Upload": _normal(Scope.ANYTHING),
    "IdentityAuth": _normal(Scope.SELF, "username"),
    "OrgAuth": Access((Role.TRANSPORTER,), Scope.SELF),
    "Member": _boss(),
    "OrgRemoveMember": _boss(),
    "ListOrgMember": _boss(),
    "UpdateOrg": _boss(),
    "CreateGoodsClass": _producer(),
    "CreateGoodsSerial": _producer(),
    "BatchCreateGoods": _producer(),
    "ListClass": _producer(),
    "ListGoodsSerial": _producer(),
    "ListGoods": _producer(),
    "UpdateClass": _producer(),
    "UpdateGoodsSerial": _producer(),
    "UpdateGoods": _producer(),
    "ListMaterial": _producer(Scope.ANYTHING),
    "ListLabels": _producer(),
    "GetClass": _producer(),
    "GetGoodsSerial": _producer(),
    "CreateCirc": _RECORDERS,
    "BatchCirc": _RECORDERS,
    "GetAccount": _normal(Scope.SELF),
    "SetAccount": _normal(Scope.SELF),
    "PrepareCirc": _RECORDERS,
    "GetCirc": _anyone(),
    "GetGoods": _anyone(),
    "ContractName": _anyone(),
    "ListScanAlerts": _producer(),
    "WatchCirc": _anyone(),
    "WatchOrgCirc": _producer(),
    "CreateWebhook": _boss(),
    "ListWebhooks": _boss(),
    "DeleteWebhook": _boss(),
    "ListModels": _EXAMINER,
    "Predict": _EXAMINER,
}
"""Every rpc of every service. What is not in here is refused at start."""

CIRCS: dict[CircType, Access] = {
    CircType.PRODUCE: Access((Role.PRODUCER,), Scope.HOLDER),
    CircType.PROCESS: Access((Role.TRANSPORTER,), Scope.HOLDER),
    CircType.TRANSFER: Access((Role.TRANSPORTER,), Scope.HOLDER),
    CircType.EXAM: Access((Role.TRANSPORTER, Role.EXAMINER), Scope.HOLDER, others=Role.EXAMINER),
}
"""The kinds of circs, for the rpcs that record one."""


def hold_role(access: Access, caller: User, what: str) -> None:
    """PERMISSION_DENIED unless the caller has, or inherits, one of the row's roles."""
    if not any(has(caller.role, role) for role in access.roles):
        wanted = " or ".join(role.value for role in access.roles)
        raise denied(f"{what} needs the role {wanted}, the caller is {caller.role.value}", role=caller.role.value)


def hold_self(caller: User, username: str, others: Role | None) -> None:
    """PERMISSION_DENIED for another user's name, unless the caller has the role for ``others``."""
    if username in ("", caller.username) or (others is not None and has(caller.role, others)):
        return
    who = f"only the role {others.value}" if others is not None else "nobody"
    raise denied(f"{who} may do this to another user", username=username)


def hold_own_org(caller: User, org_id: int, what: str, number: int) -> None:
    """PERMISSION_DENIED unless ``what`` belongs to the caller's org."""
    if org_id != caller.org_id:
        raise denied(f"{what} {number} belongs to another org", Reason.PERMISSION_DENY, **{what: number})


def hold_owner(caller: User, org: Org) -> None:
    """PERMISSION_DENIED unless the caller owns the org."""
    if org.owner != caller.username:
        raise denied(f"org {org.id} belongs to another boss", org_id=org.id)
