"""Who may call what: one table, rpc → roles and scope, and the checks that hold its scopes.

A role is held before the request is looked at, and so is SELF. The other scopes depend on what the index says of orgs
and goods, so they are held where that is read, in the same transaction as what the call changes: ``hold_own_org`` and
``hold_owner`` here, HOLDER by the contract's own rule (``node.domain.custody.apply``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from node.domain.model import CircType
from node.domain.rates import Rate
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
    the request, as a path, that can name another user than the caller; only for ``others`` it may. ``rate`` is the
    class of calls that it counts among.
    """

    roles: tuple[Role, ...]
    scope: Scope
    names: str = ""
    others: Role | None = None
    rate: Rate = Rate.WRITE

    @property
    def open_to_anyone(self) -> bool:
        """Whether no token is needed."""
        return not self.roles

    def __str__(self) -> str:
        needs = "|".join(role.value for role in self.roles) or "anyone"
        beyond = f", {self.others.value}: anybody" if self.others is not None else ""
        return f"{needs}: {self.scope.value}{beyond}"


def _anyone(rate: Rate) -> Access:
    return Access((), Scope.ANYTHING, rate=rate)


def _normal(scope: Scope, names: str = "", others: Role | None = None, rate: Rate = Rate.WRITE) -> Access:
    return Access((Role.NORMAL,), scope, names, others, rate)


def _producer(scope: Scope = Scope.OWN_ORG, rate: Rate = Rate.WRITE) -> Access:
    return Access((Role.PRODUCER,), scope, rate=rate)


def _boss(rate: Rate = Rate.WRITE) -> Access:
    return Access((Role.BOSS,), Scope.OWNED_ORG, rate=rate)


_RECORDERS = Access((Role.TRANSPORTER, Role.EXAMINER), Scope.HOLDER)
_EXAMINER = Access((Role.EXAMINER,), Scope.ANYTHING, rate=Rate.HEAVY_READ)

ACCESS: dict[str, Access] = {
    "Register": _anyone(Rate.LOGIN),
    "Token": _anyone(Rate.LOGIN),
    "RefreshToken": _normal(Scope.SELF, rate=Rate.LOGIN),
    "Profile": _normal(Scope.SELF, rate=Rate.READ),
    "UpdateUser": _normal(Scope.SELF, "user.username.value", Role.ADMIN),
    "DeleteUser": _normal(Scope.SELF, "username", Role.ADMIN),
    "GetOrgUser": _normal(Scope.ANYTHING, rate=Rate.READ),
    "Upload": _normal(Scope.ANYTHING, rate=Rate.UPLOAD),
    "IdentityAuth": _normal(Scope.SELF, "username"),
    "OrgAuth": Access((Role.TRANSPORTER,), Scope.SELF),
    "Member": _boss(),
    "OrgRemoveMember": _boss(),
    "ListOrgMember": _boss(Rate.HEAVY_READ),
    "UpdateOrg": _boss(),
    "CreateGoodsClass": _producer(),
    "CreateGoodsSerial": _producer(),
    "BatchCreateGoods": _producer(),
    "ListClass": _producer(rate=Rate.HEAVY_READ),
    "ListGoodsSerial": _producer(rate=Rate.HEAVY_READ),
    "ListGoods": _producer(rate=Rate.HEAVY_READ),
    "UpdateClass": _producer(),
    "UpdateGoodsSerial": _producer(),
    "UpdateGoods": _producer(),
    "ListMaterial": _producer(Scope.ANYTHING, Rate.HEAVY_READ),
    "ListLabels": _producer(rate=Rate.HEAVY_READ),
    "GetClass": _producer(rate=Rate.READ),
    "GetGoodsSerial": _producer(rate=Rate.READ),
    "CreateCirc": _RECORDERS,
    "BatchCirc": _RECORDERS,
    "GetAccount": _normal(Scope.SELF, rate=Rate.READ),
    "SetAccount": _normal(Scope.SELF),
    "PrepareCirc": _RECORDERS,
    "GetCirc": _anyone(Rate.PUBLIC_READ),
    "GetGoods": _anyone(Rate.PUBLIC_READ),
    "ContractName": _anyone(Rate.PUBLIC_READ),
    "ListScanAlerts": _producer(rate=Rate.HEAVY_READ),
    "WatchCirc": _anyone(Rate.PUBLIC_READ),
    "WatchOrgCirc": _producer(rate=Rate.READ),
    "CreateWebhook": _boss(),
    "ListWebhooks": _boss(Rate.READ),
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
