"""Values for fields: right ones by the field's name, wrong ones by its type, and requests made of them."""

from __future__ import annotations

from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import strategies as st

from node.api.services import SERVICES, message_class
from scripts.fuzzing.cast import Cast

_F = FieldDescriptor
METHODS = {method.name: method for service in SERVICES for method in service.methods}
WEIGHTS = {
    "Register": 0.02,
    "Token": 0.02,
    "UpdateUser": 0.2,
    "BatchCreateGoods": 0.5,
    "CreateCirc": 3.0,
    "BatchCirc": 2.0,
}
"""How often an rpc is called, against 1.0. A password takes a tenth of a second of a core, however wrong it is."""
DESTRUCTIVE = ("DeleteUser", "UpdateUser", "OrgRemoveMember", "Member", "SetAccount", "IdentityAuth", "OrgAuth")
"""What ends a caller or makes it another: done by, and to, those alone who are there for it."""


def _nested(opening: bytes, closing: bytes, levels: int) -> bytes:
    return opening * levels + b"1" + closing * levels


NUMBERS = (0, 1, -1, 2, 3, 7, 19, 20, 100, 999, 1_000, 1_001, 10_000, 10_001, 2**31 - 1, -(2**31), 2**31, 2**63 - 1)
SECONDS = (0, 1, 1_760_000_000, -1, -2_208_988_800, 253_402_300_799, 253_402_300_800, -62_135_596_801, 2**63 - 1)
NANOS = (0, 1, 999_999_999, 1_000_000_000, -1, 2**31 - 1, -(2**31))
TEXTS = (
    "",
    " ",
    "a",
    "x" * 64,
    "x" * 65,
    "x" * 129,
    "x" * 20_000,
    "é" * 33,
    "e\u0301" * 32,
    "\u0000",
    "a\u202eb",
    "\u2066a\u2069",
    "\u200b\u200d",
    "\ufeffa",
    "\U000e0001",
    "\uffff",
    "普洱茶",
    "a\nb",
    "'; DROP TABLE user; --",
    "../../etc/passwd",
    "%s%n{0}${a}",
    "0" * 40,
    "1e999",
    "null",
    "0x" + "0" * 40,
    "0x" + "g" * 40,
    "530102199001010003",
    "11010119900230" + "0011",
    "admin",
    "boss",
    "normal",
    "deleted",
)
BYTES = (
    b"",
    b"{}",
    b"[]",
    b"null",
    b'{"a":1}',
    b'{"moisture_percent":11.2,"result":"pass"}',
    b'{"recall":"glass"}',
    b'{"gtin":"06901234567892"}',
    b'{"gtin":6901234567892}',
    b'{"gtin":"06901234567893"}',
    b'{"a":1,"a":2}',
    b'{"a":NaN}',
    b'{"a":1e999999}',
    b'{"a":' + b"9" * 5_000 + b"}",
    b'{"a":"\\ud800"}',
    b'{"\\ud800":1}',
    b'{"a":"\xff"}',
    b'\xef\xbb\xbf{"a":1}',
    b'{"a":"\\u0000\\u202e"}',
    b'{"type":"ObjectEvent","eventTime":"2026-05-01T16:30:00Z","action":"OBSERVE","epcList":["a"]}',
    b'{"type":"ObjectEvent","eventTime":1,"eventTimeZoneOffset":[],"bizStep":{},"sensorElementList":[{}]}',
    b'{"photo":"ipfs://bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"}',
    _nested(b'{"a":', b"}", 33),
    _nested(b'{"a":', b"}", 900),
    _nested(b'{"a":', b"}", 10_000),
    _nested(b'{"a":[', b"]}", 5_000),
    b'{"a":' + b"[" * 60_000,
    b"{" + b",".join(b'"%d":0' % n for n in range(6_000)) + b"}",
    b'{"a":"' + b"x" * 65_600 + b'"}',
    b"\x00" * 100,
    b"1,2\n3,4",
    b"alcohol,ash\n13.2,2.1",
    b'{"alcohol": 13.2, "alcohol": 1}',
    b"##TITLE=a\n##JCAMP-DX=4.24\n##NPOINTS=999999999\n##FIRSTX=1\n##LASTX=2\n##XYDATA=(X++(Y..Y))\n1 2 3\n##END=",
    b"##TITLE=a\n##XYPOINTS=(XY..XY)\n" + b"1,1 " * 2_000 + b"\n##END=",
    b"##BLOCKS=" + b"9" * 400 + b"\n" + b"##TITLE=a\n" * 500,
    b"\n".join(b"%d" % n for n in range(1_841)),
    b"1e308\n" * 1_841,
    b"\x08\x08\x12\x04onnx" + b"\x3a\xff\xff\xff\xff\x0f",
    bytes(65),
    b"\x1b" * 65,
    b"\x00" * 31 + b"\x01" + b"\x00" * 4_065,
)
ROLES = ("nobody", "deleted", "normal", "transporter", "producer", "boss", "examiner", "admin")


@st.composite
def rubbish(draw: st.DrawFn) -> bytes:
    """Bytes of any kind, mostly a known one with something behind it."""
    return draw(st.sampled_from(BYTES)) + draw(st.one_of(st.just(b""), st.binary(max_size=12)))


class Requests:
    """Strategies for the requests of a cast."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self.strategy = cache(self._of_rpc)
        expendable = tuple(username for username, _ in cast.expendable)
        self._names = {
            "phone": ("13800000000", "10000000000", "+86 13800000000", *cast.phones),
            "passwd": ("short", "correct horse battery", "x" * 129, "\x00" * 9),
            "password": ("wrong password", "correct horse battery", "x" * 4_000),
            "current_password": ("wrong password", "correct horse battery"),
            "email": ("a@example.com", "a@b", "@", "a@" + "b." * 200 + "c", "é@é.é"),
            "avatar": ("/a.png", "https://example.com/a.png", "javascript:alert(1)", "ipfs://" + "b" * 600),
            "model_name": ("wine-cultivar", "coffee-origin", "wine", "coffee", "../wine", ""),
            "code": ("91530100MA00000013", "000000000000000000"),
            "new_account": (cast.contract, "0x" + "11" * 20, "0x" + "00" * 20),
            "account": (cast.contract, "0x" + "11" * 20),
            "cursor": ("", "00000000-0", "00000000-999999999999999999", "a-1"),
            "url": (
                "https://example.com/a",
                "http://127.0.0.1/",
                "https://u:p@e.com",
                "https://[::1",
                "https://e.com:99999",
            ),
            "key": ("filename", "content-type", "encoding", "own"),
            "value": ("a.png", "image/png", "base64", "identity"),
        }
        self._people = (*cast.usernames, *expendable)
        self._expendable = expendable

    def _of_rpc(self, name: str) -> st.SearchStrategy[Message]:
        method = METHODS[name]
        return self._message(method.input_type, name, 0)

    def _message(self, descriptor: Any, rpc: str, depth: int) -> st.SearchStrategy[Message]:
        made = message_class(descriptor)
        if not descriptor.fields:
            return st.builds(made)
        fields = {field.name: self._field(field, rpc, depth) for field in descriptor.fields}

        def build(given: dict[str, Any]) -> Message:
            message: Message = made()
            for field, value in given.items():
                if value is not None:
                    _put(message, descriptor.fields_by_name[field], value)
            return message

        return st.fixed_dictionaries(fields).map(build)

    def _field(self, field: Any, rpc: str, depth: int) -> st.SearchStrategy[Any]:
        if field.message_type and field.message_type.full_name == "google.protobuf.Timestamp":
            inner: st.SearchStrategy[Any] = st.tuples(st.sampled_from(SECONDS), st.sampled_from(NANOS))
        elif field.message_type and len(field.message_type.fields) == 1 and "Value" in field.message_type.name:
            inner = self._scalar(field.message_type.fields[0], field.name, rpc)
        elif field.message_type:
            if depth > 3:
                return st.none()
            inner = self._message(field.message_type, rpc, depth + 1)
        else:
            inner = self._scalar(field, field.name, rpc)
        if field.is_repeated:
            few = st.lists(inner, max_size=4)
            if field.name == "goods_ids":
                known = st.lists(st.sampled_from(self._cast.goods_ids), min_size=1, max_size=4, unique=True)
                return st.one_of(known, known, few, st.sampled_from((list(range(1, 10_002)), [1] * 300)))
            return st.one_of(few, few, few, inner.map(lambda one: [one] * 40))
        if field.has_presence:
            return st.one_of(st.none(), inner, inner)
        return inner

    def _scalar(self, field: Any, name: str, rpc: str) -> st.SearchStrategy[Any]:
        kind = field.type
        if kind == _F.TYPE_STRING:
            return st.one_of(st.sampled_from(self._texts(name, rpc)), st.sampled_from(TEXTS), st.text(max_size=12))
        if kind == _F.TYPE_BYTES:
            return st.one_of(st.sampled_from(BYTES[:6]), rubbish())
        if kind == _F.TYPE_BOOL:
            return st.booleans()
        if kind == _F.TYPE_ENUM:
            return st.sampled_from((0, 1, 3, 4, 0, 1, 3, 4, 2, 5, 255, -1, 2**31 - 1))
        known = st.sampled_from(self._numbers(name))
        bound = 2**31 if kind == _F.TYPE_INT32 else 2**63
        odd = st.sampled_from(tuple(one for one in NUMBERS if -bound <= one < bound))
        return st.one_of(known, known, odd, st.integers(-bound, bound - 1))

    def _texts(self, name: str, rpc: str) -> tuple[str, ...]:
        if name in ("username", "to", "from", "operator", "creator", "owner"):
            return self._expendable if rpc in DESTRUCTIVE else self._people
        return self._names.get(name, ("Yunnan Arabica", "new", "普洱茶", "Zhang San"))

    def _numbers(self, name: str) -> tuple[int, ...]:
        cast = self._cast
        by_name = {
            "goods_id": cast.goods_ids,
            "goods_ids": cast.goods_ids,
            "org_id": cast.org_ids,
            "class_id": cast.class_ids,
            "serial_id": cast.serial_ids,
            "sum": (1, 1, 1, 2, 3),
            "ID": (*cast.goods_ids[:4], *cast.class_ids, *cast.serial_ids),
        }
        return by_name.get(name, (0, 1, 2, 20))

    @property
    def rpcs(self) -> st.SearchStrategy[str]:
        """Names of rpcs, by their weights."""
        return st.sampled_from([name for name in METHODS for _ in range(round(50 * WEIGHTS.get(name, 1.0)))])

    @property
    def callers(self) -> st.SearchStrategy[str]:
        """Roles, most often those that may do most."""
        return st.sampled_from((*ROLES, *ROLES[2:], "boss", "boss", "boss", "producer", "examiner", "admin"))


def _put(message: Any, field: Any, value: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).extend(value)
    elif isinstance(value, Message):
        getattr(message, field.name).CopyFrom(value)
    elif isinstance(value, tuple):
        target = getattr(message, field.name)
        target.seconds, target.nanos = value
    elif field.message_type:
        target = getattr(message, field.name)
        target.value = value
        target.SetInParent()
    else:
        setattr(message, field.name, value)
