"""Which calls the audit log keeps, and what it says of them: never a value that a caller made up, but ids.

Kept are all calls that change something or log somebody in, answered or refused; reads of what tells who others are;
and every other call that is refused for who made it. What anybody may read is not kept: it would be most of all calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from node.api.auth import Tokens
from node.domain.access import ACCESS
from node.errors import Reason, Status, VTraceError
from node.flow.journal import Journal

READS = frozenset(
    (
        *("Profile", "GetAccount", "PrepareCirc", "GetCirc", "GetGoods", "ContractName", "ListModels", "ListMaterial"),
        *("ListClass", "ListGoodsSerial", "ListGoods", "ListLabels", "GetClass", "GetGoodsSerial", "ListScanAlerts"),
        *("WatchCirc", "WatchOrgCirc", "ListWebhooks"),
    )
)
"""Rpcs that change nothing and tell nothing of other people. All others are kept."""
DENIED = (Status.UNAUTHENTICATED, Status.PERMISSION_DENIED, Status.INTERNAL)
TRANS_IDS_MAX = 10
USERNAME = re.compile(r"u[0-9a-f]{16}")

On = Mapping[str, object]


@dataclass(slots=True)
class Seen:
    """What is known of a call so far: its address and id, its caller (a username), its request.

    ``tried`` is what it was about, by ids, should it be refused.
    """

    address: str = ""
    request_id: str = ""
    who: str = ""
    given: Any = None
    tried: dict[str, str] = field(default_factory=dict)


class Witness:
    """Tells the journal what came of each call."""

    def __init__(self, journal: Journal, tokens: Tokens) -> None:
        self._journal = journal
        self._tokens = tokens

    def answered(self, name: str, seen: Seen, answered: Any) -> None:
        """A call ended well."""
        if name in READS:
            return
        who, tell = seen.who, _ON.get(name)
        if name == "Token":
            who = self._tokens.session(f"Bearer {answered.token}").user.username
        elif name == "Register":
            who = answered.user.username.value
        self._journal.done(who, name, tell(seen.given, answered) if tell else {}, seen.address, seen.request_id)

    def refused(self, name: str, seen: Seen, fault: VTraceError) -> None:
        """A call was refused."""
        if name in READS and fault.status not in DENIED and fault.reason is not Reason.NOT_OWNER:
            return
        result = (fault.status.value, fault.reason.name)
        self._journal.refused(seen.who, name, *result, seen.address, seen.tried, seen.request_id)

    def read(self, name: str, seen: Seen, events: int) -> None:
        """Events were read that are not everybody's."""
        self._journal.done(seen.who, name, {"events": events}, seen.address, seen.request_id)

    def captured(self, seen: Seen, job: Any) -> None:
        """A document of events was captured, or its job says why not."""
        on = {"capture": job.capture_id, "events": len(job.outcome.get("recorded", [])), "success": job.success}
        self._journal.done(seen.who, "capture", on, seen.address, seen.request_id)


def _circ(given: Any, answered: Any) -> On:
    return {"goods": 1, "first": given.goods_id, "kind": int(given.circ_type), "trans_ids": [answered.trans_id.value]}


def _batch(given: Any, answered: Any) -> On:
    trans_ids = sorted(set(answered.goodsId2transId.values()))
    on = {"goods": len(given.goods_ids), "first": given.goods_ids[0], "kind": int(given.circ_type)}
    return on | {"trans_ids": trans_ids[:TRANS_IDS_MAX], "transactions": len(trans_ids)}


def _goods(given: Any, answered: Any) -> On:
    ids = [one.value for one in answered.ids]
    return {"serial": given.serial_id, "goods": len(ids)} | ({"first": ids[0]} if ids else {})


def _username(text: str) -> On:
    """Whose name a request has. Anything may stand there, so what is no username is left out."""
    return {"user": text} if USERNAME.fullmatch(text) else {}


def _member(given: Any, _: Any) -> On:
    return {"org": given.org_id, **_username(given.username)}


_ON: dict[str, Callable[[Any, Any], On]] = {
    "UpdateUser": lambda given, _: {
        **_username(given.user.username.value),
        "fields": sorted(field.name for field, _ in given.user.ListFields() if field.name != "username")
        + ["password"] * given.HasField("password"),
    },
    "DeleteUser": lambda given, _: _username(given.username),
    "GetOrgUser": lambda given, _: _username(given.username),
    "OrgAuth": lambda _, answered: {"org": answered.org.id.value},
    "UpdateOrg": lambda _, answered: {"org": answered.org.id.value},
    "Member": _member,
    "OrgRemoveMember": _member,
    "ListOrgMember": lambda given, answered: {"org": given.org_id, "users": len(answered.users)},
    "CreateGoodsClass": lambda _, answered: {"class": answered.class_id.value},
    "CreateGoodsSerial": lambda given, answered: {"class": given.class_id, "serial": answered.serial_id.value},
    "BatchCreateGoods": _goods,
    "UpdateClass": lambda given, _: {"class": getattr(given, "class").ID.value},
    "UpdateGoodsSerial": lambda given, _: {"serial": given.serial.ID.value},
    "UpdateGoods": lambda given, _: {"goods": 1, "first": given.goods.ID.value},
    "CreateCirc": _circ,
    "BatchCirc": _batch,
    "CreateWebhook": lambda _, answered: {"webhook": answered.id},
    "DeleteWebhook": lambda given, _: {"webhook": given.id},
    "SetAccount": lambda _, answered: {"actor": answered.actor},
    "Upload": lambda _, answered: {"file": answered.url.rpartition("/")[2]},
}

assert ACCESS.keys() >= READS | _ON.keys()
