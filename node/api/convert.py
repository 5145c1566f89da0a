"""Records of the house as messages of the protocol, and back."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue, Int32Value, Int64Value, StringValue

from node.domain import records
from node.domain.changes import STATUS_AFTER, Change, Cursor
from node.domain.files import named_in
from node.domain.model import CircStatus, CircType
from node.errors import invalid
from node.wire.circ.v1 import circ_pb2 as circ
from node.wire.goods.v1 import goods_pb2 as goods
from node.wire.iam.v1 import iam_pb2 as iam
from node.wire.vtrace.v1 import watch_pb2 as watch

CIRC_TYPES = {each: circ.CircType.Value(each.name.lower()) for each in CircType}
PHONE_SHOWN = (3, 4)
RESIDENT_ID_SHOWN = (2, 2)


def text(value: str) -> StringValue:
    """A string that is set."""
    return StringValue(value=value)


def number(value: int) -> Int64Value:
    """An integer that is set."""
    return Int64Value(value=value)


def timestamp(micros: int) -> Timestamp:
    """Microseconds since 1970 as a Timestamp."""
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1_000)


def micros(field: str, value: Timestamp) -> int:
    """A Timestamp as microseconds since 1970; what is finer is dropped."""
    if not 0 <= value.nanos < 1_000_000_000:
        raise invalid(f"{field}.nanos", value.nanos, "0 to 999999999")
    return int(value.seconds * 1_000_000 + value.nanos // 1_000)


def masked_phone(phone: str) -> str:
    """A phone number for others' eyes: its first and last digits."""
    head, tail = PHONE_SHOWN
    if len(phone) <= head + tail:
        return "*" * len(phone)
    return phone[:head] + "*" * (len(phone) - head - tail) + phone[-tail:]


def masked_name(name: str) -> str:
    """A person's name for others' eyes: its first character."""
    return name[:1] + "*" * (len(name) - 1)


def masked_resident_id(number: str) -> str:
    """A resident id as far as an answer has to tell whose it is."""
    head, tail = RESIDENT_ID_SHOWN
    return number[:head] + "*" * (len(number) - head - tail) + number[-tail:] if number else ""


def user(value: records.User, personal: records.Personal, *, to_owner: bool, whole: bool = False) -> iam.User:
    """A user, personal data masked or left out unless the user itself asks; ``whole`` shows it the resident id too."""
    message = iam.User(
        username=text(value.username),
        nickname=text(value.nickname),
        role=text(value.role.value),
        phone=text(personal.phone if to_owner else masked_phone(personal.phone)),
        create_at=timestamp(value.created_at),
        id=number(value.id),
        avatar=value.avatar,
        status=iam.deleted if value.deleted else iam.enable,
    )
    if to_owner:
        message.email.value = personal.email
        if personal.realname:
            message.realname.value = personal.realname
            message.idcard.value = personal.resident_id if whole else masked_resident_id(personal.resident_id)
    return message


def org(value: records.Org, contact: records.Contact, *, to_owner: bool) -> iam.Org:
    """An org, its legal representative masked unless the org's owner asks."""
    return iam.Org(
        id=number(value.id),
        org_name=text(value.name),
        org_code=text(value.code),
        legal_person_name=text(contact.name if to_owner else masked_name(contact.name)),
        legal_person_phone=text(contact.phone if to_owner else masked_phone(contact.phone)),
        owner=text(value.owner),
        org_info=BytesValue(value=value.info),
    )


def goods_class(value: records.GoodsClass) -> goods.Class:
    """A class."""
    return goods.Class(
        ID=number(value.id),
        name=text(value.name),
        des=BytesValue(value=value.description),
        state=text(value.state),
        creator=text(value.creator),
        org_id=number(value.org_id),
        tm=text(value.trademark),
        material_id=Int32Value(value=value.material_id),
    )


def serial(value: records.Serial) -> goods.Serial:
    """A serial with its class."""
    message = goods.Serial(
        ID=number(value.id),
        timestamp=timestamp(value.product_time),
        state=text(value.state),
        creator=text(value.creator),
    )
    getattr(message, "class").CopyFrom(goods_class(value.goods_class))
    return message


def one_goods(value: records.Goods) -> goods.Goods:
    """One goods with its serial and class."""
    return goods.Goods(
        ID=number(value.id), state=text(value.state), creator=text(value.creator), serial=serial(value.serial)
    )


def put_circ(message: circ.CircRecord, value: records.CircRecord) -> None:
    """Put one circ of one goods into an empty message: what stands in its place already needs no copy."""
    message.id.value = value.id
    message.object_id.value = value.goods_id
    message.circ_type = CIRC_TYPES[value.circ_type]
    message.Operator.value = value.operator
    message.to.value = value.to
    message.trans_id.value = value.trans_id
    message.status.value = value.status.value
    message.salt = value.salt
    at = message.recorded_at
    at.seconds, at.nanos = value.recorded_at // 1_000_000, value.recorded_at % 1_000_000 * 1_000
    getattr(message, "from").value = value.operator
    if value.form:
        message.from_value.value = value.form.decode()
        message.files.extend(named_in(value.form))
    if value.tx_hash is not None:
        message.tx_hash.value = value.tx_hash
    if value.times is not None and value.status is not CircStatus.FAILED:
        message.times.value = value.times
    if value.reason:
        message.reason = value.reason
    if value.private:
        message.private = True
    if value.erased:
        message.erased = True


def change(value: Change, epoch: str) -> watch.CircChange:
    """One change of a circ, in the feed called ``epoch``."""
    return watch.CircChange(
        cursor=str(Cursor(epoch, value.number)),
        kind=watch.ChangeKind.Name(value.kind),
        circ_id=value.circ_id,
        goods_ids=value.goods_ids,
        circ_type=circ.CircType.Name(value.circ_type),
        trans_id=value.trans_id,
        tx_hash=value.tx_hash,
        status=STATUS_AFTER[value.kind].value,
        reason=value.reason,
        changed_at=timestamp(value.at),
    )
