"""Reasons, their statuses and packages, and what an error may show."""

from __future__ import annotations

import pytest

from node.errors import Reason, Status, denied, invalid, not_found, shown

STATUSES = {
    Status.INVALID_ARGUMENT: {"PARAMS_ERR", "INVALID_PARAMS", "ROLE_NOT_EXIST"},
    Status.UNAUTHENTICATED: {"TOKEN_EXPIRED", "PASSWD_ERR"},
    Status.PERMISSION_DENIED: {"PERMISSION_DENIED", "PERMISSION_DENY"},
    Status.FAILED_PRECONDITION: {"NOT_OWNER"},
    Status.ALREADY_EXISTS: {"ENTRY_DUPLICATE", "CIRC_ALREADY_EXIST"},
    Status.UNIMPLEMENTED: {"SERVICE_OFFLINE"},
}


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_status(reason: Reason) -> None:
    if reason.name.endswith("_NOT_FOUND") or reason.name in ("ORG_NOT_EXIST", "PREDICT_RESULT_UNAVAILABLE"):
        assert reason.status is Status.NOT_FOUND
    elif reason.name.endswith("_FAILED"):
        assert reason.status is Status.INTERNAL
    else:
        assert reason.name in STATUSES[reason.status]
    assert reason.domain in ("vtrace.v1", "circ.v1", "goods.v1", "algo.v1", "iam.v1")


def test_an_error_shows_values_short_and_printable() -> None:
    assert shown("x" * 80) == "x" * 80
    assert shown("x" * 10_000) == "x" * 80 + "… (10000 characters)"
    assert shown("a\n\u202eb") == r"'a\n\u202eb'"
    assert shown([1, 2]) == "[1, 2]"


def test_errors_name_what_is_wrong() -> None:
    wrong = invalid("goods_id", 0, "an id from 1")
    assert (wrong.message, wrong.metadata["value"]) == ("goods_id: 0, want an id from 1", "0")
    assert [(field.field, field.description) for field in wrong.fields] == [("goods_id", "want an id from 1")]
    assert not_found(Reason.GOODS_NOT_FOUND, "goods_id", 7).message == "goods_id 7 is not known here"
    assert denied("no", org_id=3).metadata == {"org_id": "3"}
