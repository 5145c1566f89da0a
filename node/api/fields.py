"""What every field of every request may look like: one table over the descriptors, held before any servicer runs.

A request class without a row for one of its fields is refused at start. Names are brought to NFC here, so that one that
looks like another is the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from google.protobuf.message import Message

from node.api.protojson import WRAPPERS
from node.api.services import SERVICES
from node.domain import limits
from node.domain.changes import GOODS_WATCHED_MAX
from node.domain.files import KEY_LENGTH_MAX, PAIRS_MAX, VALUE_LENGTH_MAX
from node.domain.form import FORM_BYTES_MAX
from node.domain.model import GOODS_ID_MAX, CircType
from node.domain.shapes import (
    ADDRESS_LENGTH_MAX,
    Check,
    flag,
    handle,
    line,
    moment,
    named,
    octets,
    one_of,
    secret,
    whole,
)
from node.domain.webhooks import URL_LENGTH_MAX
from node.errors import Reason, invalid

MESSAGE_BYTES_MAX = 4 * 1024 * 1024
"""Of one message; the transports hold it too."""

NAME = named(limits.NAME_LENGTH_MAX)
LONG_NAME = named(limits.LONG_NAME_LENGTH_MAX)
PERSON = named(limits.NAME_LENGTH_MAX, hidden=True)
USERNAME = handle()
NUMBER_OF_PERSON = line(ADDRESS_LENGTH_MAX, hidden=True)
"""A phone or a resident id, before it is known to be one."""
TEXT = octets(limits.TEXT_BYTES_MAX)
FORM = octets(FORM_BYTES_MAX)
CONTENT = octets(MESSAGE_BYTES_MAX)
ID = whole(0, GOODS_ID_MAX)
"""0 is unset; where an id must be there, what looks it up says so."""
ROW = whole(0, 2**63 - 1)
CURSOR = handle(ADDRESS_LENGTH_MAX)
OFFSET = whole(0, 2**31 - 1)
LIMIT = whole(0, limits.LIST_ROWS_MAX)
SUM = whole(0, limits.GOODS_PER_CALL_MAX)
CIRC_TYPE = one_of(frozenset(CircType), "0 produce, 1 process, 3 transfer or 4 exam")
STATUS = one_of((0, 1), "0 enable or 1 deleted")

_PAGE: dict[str, Check | None] = {"offset": OFFSET, "limit": LIMIT, "page_token": CURSOR}

ROWS: dict[str, dict[str, Check | None]] = {
    "vtrace.v1.RegisterRequest": {"phone": NUMBER_OF_PERSON, "nickname": NAME, "passwd": secret},
    "vtrace.v1.TokenRequest": {"phone": NUMBER_OF_PERSON, "password": secret},
    "vtrace.v1.UpdateUserRequest": {"user": None, "password": secret, "current_password": secret},
    "vtrace.v1.DeleteUserRequest": {"username": USERNAME},
    "vtrace.v1.IdentityAuthRequest": {"realname": PERSON, "idcard": NUMBER_OF_PERSON, "username": USERNAME},
    "iam.v1.User": {
        "username": USERNAME,
        "nickname": NAME,
        "role": USERNAME,
        "phone": NUMBER_OF_PERSON,
        "email": line(limits.EMAIL_LENGTH_MAX, hidden=True),
        "create_at": moment,
        "realname": PERSON,
        "idcard": NUMBER_OF_PERSON,
        "id": ID,
        "avatar": line(limits.AVATAR_LENGTH_MAX),
        "status": STATUS,
    },
    "vtrace.v1.OrgAuthRequest": {
        "legal_name": PERSON,
        "org_name": LONG_NAME,
        "code": line(ADDRESS_LENGTH_MAX),
        "legal_phone": NUMBER_OF_PERSON,
        "org_info": TEXT,
    },
    "vtrace.v1.MemberRequest": {"org_id": ID, "username": USERNAME},
    "vtrace.v1.OrgRemoveMemberRequest": {"org_id": ID, "username": USERNAME},
    "vtrace.v1.ListOrgMemberRequest": {"org_id": ID, **_PAGE},
    "vtrace.v1.UpdateOrgRequest": {"org": None},
    "vtrace.v1.GetOrgOfUserRequest": {"username": USERNAME},
    "iam.v1.Org": {
        "id": ID,
        "org_name": LONG_NAME,
        "org_code": line(ADDRESS_LENGTH_MAX),
        "legal_person_name": PERSON,
        "legal_person_phone": NUMBER_OF_PERSON,
        "owner": USERNAME,
        "org_info": TEXT,
    },
    "vtrace.v1.CreateGoodsClassRequest": {"goods_name": LONG_NAME, "goods_des": TEXT, "material_id": ID, "tm": NAME},
    "vtrace.v1.CreateGoodsSerialRequest": {"product_time": moment, "class_id": ID},
    "vtrace.v1.BatchCreateGoodsRequest": {"serial_id": ID, "sum": SUM},
    "vtrace.v1.GetGoodsRequest": {"goods_id": ID},
    "vtrace.v1.GetClassRequest": {"goods_id": ID},
    "vtrace.v1.GetGoodsSerialRequest": {"serial_id": ID},
    "vtrace.v1.ListGoodsRequest": _PAGE,
    "vtrace.v1.ListClassRequest": _PAGE,
    "vtrace.v1.ListGoodsSerialRequest": _PAGE,
    "vtrace.v1.UpdateGoodsRequest": {"goods": None},
    "vtrace.v1.UpdateClassRequest": {"class": None},
    "vtrace.v1.UpdateGoodsSerialRequest": {"serial": None},
    "goods.v1.Class": {
        "ID": ID,
        "name": LONG_NAME,
        "des": TEXT,
        "state": NAME,
        "creator": USERNAME,
        "org_id": ID,
        "tm": NAME,
        "material_id": ID,
    },
    "goods.v1.Serial": {"ID": ID, "timestamp": moment, "state": NAME, "creator": USERNAME, "class": None},
    "goods.v1.Goods": {"ID": ID, "state": NAME, "creator": USERNAME, "serial": None},
    "vtrace.v1.PredictRequest": {"model_name": LONG_NAME, "data": CONTENT},
    "vtrace.v1.CreateCircRequest": {
        "goods_id": ID,
        "circ_type": CIRC_TYPE,
        "from": USERNAME,
        "to": USERNAME,
        "form_value": FORM,
        "private": flag,
    },
    "vtrace.v1.BatchCircRequest": {
        "goods_ids": ID,
        "circ_type": CIRC_TYPE,
        "operator": USERNAME,
        "from": USERNAME,
        "to": USERNAME,
        "form_info": FORM,
        "private": flag,
    },
    "vtrace.v1.GetCircRequest": {"goods_id": ID, "page_token": CURSOR, "page_size": LIMIT},
    "vtrace.v1.GetAccountRequest": {"new_account": handle(ADDRESS_LENGTH_MAX)},
    "vtrace.v1.SetAccountRequest": {
        "account": handle(ADDRESS_LENGTH_MAX),
        "possession": octets(limits.SIGNATURE_BYTES_MAX),
    },
    "vtrace.v1.PrepareCircRequest": {"create_circ": None, "batch_circ": None, "batch_create_goods": None},
    "vtrace.v1.ListLabelsRequest": {"serial_id": ID, "first": ID, "limit": LIMIT},
    "vtrace.v1.ListScanAlertsRequest": _PAGE,
    "vtrace.v1.WatchCircRequest": {"goods_id": ID, "cursor": CURSOR},
    "vtrace.v1.WatchOrgCircRequest": {"cursor": CURSOR},
    "vtrace.v1.CreateWebhookRequest": {"url": line(URL_LENGTH_MAX), "cursor": CURSOR},
    "vtrace.v1.DeleteWebhookRequest": {"id": ROW},
    "vtrace.v1.UploadRequest": {"content": CONTENT, "mds": None},
    "vtrace.v1.UploadRequest.metadata": {"key": named(KEY_LENGTH_MAX), "value": named(VALUE_LENGTH_MAX)},
}
"""message → field → what it may look like; None for a message, which has rows of its own."""

COUNTS = {
    "vtrace.v1.BatchCircRequest.goods_ids": limits.GOODS_PER_CALL_MAX,
    "vtrace.v1.WatchCircRequest.goods_id": GOODS_WATCHED_MAX,
    "vtrace.v1.UploadRequest.mds": PAIRS_MAX,
}
"""repeated field → how many there may be."""

_IAM = ("vtrace/v1/user.proto", "vtrace/v1/org.proto")

_Held = Callable[[Any, str, Reason], None]


def held(request: Any) -> Any:
    """The request, names in NFC; INVALID_ARGUMENT for the first field that breaks its row."""
    descriptor = request.DESCRIPTOR
    reason = Reason.PARAMS_ERR if descriptor.file.name in _IAM else Reason.INVALID_PARAMS
    _hold(request, "", reason)
    return request


def missing_rows() -> list[str]:
    """The fields of requests that no row speaks of, and the repeated ones without a count."""
    found: list[str] = []
    waiting = [method.input_type for service in SERVICES for method in service.methods]
    seen = set()
    while waiting:
        descriptor = waiting.pop()
        if descriptor.full_name in seen:
            continue
        seen.add(descriptor.full_name)
        for field in descriptor.fields:
            rows = ROWS.get(descriptor.full_name, {})
            is_inner = _is_inner(field)
            if field.name not in rows or (rows[field.name] is None) != is_inner:
                found.append(field.full_name)
            if field.is_repeated and field.full_name not in COUNTS:
                found.append(f"{field.full_name}[]")
            if is_inner:
                waiting.append(field.message_type)
    return found


def _hold(message: Message, at: str, reason: Reason) -> None:
    for hold in _holders(message.DESCRIPTOR):
        hold(message, at, reason)


def _is_inner(field: Any) -> bool:
    """Whether a field is a message with fields of its own, and no wrapper or time."""
    of = field.message_type
    return bool(of) and of.full_name not in WRAPPERS and of.full_name != "google.protobuf.Timestamp"


@cache
def _holders(descriptor: Any) -> tuple[_Held, ...]:
    rows = ROWS.get(descriptor.full_name, {})  # a request without fields needs no rows
    return tuple(_holder(field, rows[field.name]) for field in descriptor.fields)


def _holder(field: Any, check: Check | None) -> _Held:
    name = field.name
    if field.is_repeated:
        most = COUNTS[field.full_name]

        def each(message: Any, at: str, reason: Reason) -> None:
            values = getattr(message, name)
            if len(values) > most:
                raise invalid(f"{at}{name}", f"{len(values)} of them", f"at most {most}", reason)
            for number, value in enumerate(values):
                if check is None:
                    _hold(value, f"{at}{name}[{number}].", reason)
                else:
                    check(f"{at}{name}", value, reason)

        return each
    if check is None:

        def inner(message: Any, at: str, reason: Reason) -> None:
            if message.HasField(name):
                _hold(getattr(message, name), f"{at}{name}.", reason)

        return inner
    is_wrapper = bool(field.message_type) and field.message_type.full_name in WRAPPERS
    if field.message_type and not is_wrapper:

        def time(message: Any, at: str, reason: Reason) -> None:
            if message.HasField(name):
                check(f"{at}{name}", getattr(message, name), reason)

        return time

    def scalar(message: Any, at: str, reason: Reason) -> None:
        if is_wrapper:
            if not message.HasField(name):
                return
            place, key = getattr(message, name), "value"
        else:
            place, key = message, name
        value = getattr(place, key)
        plain = check(f"{at}{name}", value, reason)
        if plain is not value and plain != value:
            setattr(place, key, plain)

    return scalar
