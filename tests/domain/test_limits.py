"""Limits of input: the last value that passes, and the first that does not."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from node.domain import limits
from node.domain.model import GOODS_ID_MAX
from node.errors import Reason, Status, VTraceError

name = partial(limits.name, "f", reason=Reason.PARAMS_ERR)
long_name = partial(limits.name, "f", reason=Reason.PARAMS_ERR, length_max=limits.LONG_NAME_LENGTH_MAX)
optional_name = partial(limits.optional_name, "f", reason=Reason.PARAMS_ERR)
text = partial(limits.text, "f", reason=Reason.PARAMS_ERR)
phone = partial(limits.phone, "f")
office_phone = partial(limits.office_phone, "f")
email = partial(limits.email, "f")
avatar = partial(limits.avatar, "f")
identifier = partial(limits.identifier, "f")
goods_sum = partial(limits.goods_sum, "f")
idempotency_key = partial(limits.idempotency_key, "f")
form = partial(limits.form, "f")


def goods_ids(values: list[int]) -> list[int]:
    return limits.goods_ids("f", values)


def offset(value: int) -> tuple[int, int]:
    return limits.page(value, 5)


def limit(value: int) -> tuple[int, int]:
    return limits.page(0, value)


PASSES: list[tuple[Callable[[Any], Any], list[Any]]] = [
    (name, ["x", "x" * 64, "张三", "Café de l’Ouest", " x", "🌱"]),
    (long_name, ["x" * 128]),
    (optional_name, ["", "x" * 64]),
    (text, [b"", b"x" * 16_384, "一\n\r\t二".encode()]),
    (phone, ["13000000000", "19999999999"]),
    (office_phone, ["12345", "0871-6512345", "+86 871 651 2345", "1" * 20]),
    (email, ["", "a@b.cn", "first.last+tag@mail.example.com", "x" * 248 + "@ab.cn"]),
    (avatar, ["", "https://example.com/a.png", "http://x", "ipfs://bafy", "/files/1", "/" + "x" * 511]),
    (identifier, [1, GOODS_ID_MAX]),
    (goods_sum, [1, 10_000]),
    (idempotency_key, ["k", " ", "~" * 128, "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"]),
    (form, [b"", b"{}"]),
]
REFUSES: list[tuple[Callable[[Any], Any], list[Any]]] = [
    (name, ["", " ", "\u3000", "x" * 65, "a\nb", "a\0b", "a\u200bb", "a\u202eb", "a\u2028b", "\ud800"]),
    (long_name, ["x" * 129]),
    (optional_name, [" ", "x" * 65, "a\tb"]),
    (text, [b"x" * 16_385, b"\xff", b"a\0b", b"a\x1bb"]),
    (
        phone,
        ["", "12000000000", "1380013800", "138001380000", "+8613800138000", "１３８００１３８０００", "13800138000\n"],
    ),
    (office_phone, ["", "1234", "1" * 21, "0871--123", "-12345", "12345-", "call us", "12345\n"]),
    (email, ["x", "@b.cn", "a@b", "a@b..cn", "a b@c.cn", "a@b.cn\n", "a@@b.cn", "x" * 249 + "@ab.cn"]),
    (avatar, ["example.com/a.png", "javascript:alert(1)", "data:x", "http://a b", "/a\n", "/" + "x" * 512]),
    (identifier, [0, -1, GOODS_ID_MAX + 1]),
    (goods_sum, [0, -1, 10_001]),
    (goods_ids, [[], [0], [-1], [1, 1], [5, 1, 5], [GOODS_ID_MAX + 1], list(range(1, 10_002))]),
    (offset, [-1]),
    (limit, [-1, 1_001]),
    (idempotency_key, ["", "x" * 129, "a\nb", "a\tb", "a\x7f", "é", "钥", "a\xa0", "a\0"]),
    (form, [b"x", b"[]", b"{}" * 40_000]),
]


def _cases(table: list[tuple[Callable[[Any], Any], list[Any]]]) -> list[Any]:
    return [
        pytest.param(check, value, id=f"{getattr(check, '__name__', None) or check.func.__name__}-{number}")  # type: ignore[attr-defined]
        for check, values in table
        for number, value in enumerate(values)
    ]


@pytest.mark.parametrize(("check", "value"), _cases(PASSES))
def test_passes_as_it_is(check: Callable[[Any], Any], value: Any) -> None:
    assert check(value) == value


@pytest.mark.parametrize(("check", "value"), _cases(REFUSES))
def test_is_refused_by_name(check: Callable[[Any], Any], value: Any) -> None:
    with pytest.raises(VTraceError) as refused:
        check(value)
    assert refused.value.status is Status.INVALID_ARGUMENT
    assert refused.value.reason in (Reason.PARAMS_ERR, Reason.INVALID_PARAMS)
    assert refused.value.fields
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 300


def test_goods_are_answered_in_order() -> None:
    assert goods_ids([3, 1, 2]) == [1, 2, 3]
    assert len(goods_ids(list(range(1, 10_001)))) == 10_000


def test_a_page() -> None:
    assert limits.page(0, 0) == (0, 20)
    assert limits.page(2**31 - 1, 1_000) == (2**31 - 1, 1_000)
