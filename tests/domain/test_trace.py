"""What a page shows of a history, and what it must not let its reader miss."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain import trace
from node.domain.model import CircStatus, CircType
from node.domain.records import CircRecord
from node.domain.trace import Alarm, alarm_of, holder_of, members_of, shown_of


def circ(number: int, kind: CircType = CircType.PROCESS, form: Any = None, **values: Any) -> CircRecord:
    known: dict[str, Any] = {
        "id": number,
        "goods_id": 1,
        "circ_type": kind,
        "operator": "a",
        "to": "a",
        "form": b"" if form is None else json.dumps(form).encode(),
        "salt": bytes(16),
        "trans_id": f"0x{number:064x}",
        "tx_hash": None,
        "times": number,
        "status": CircStatus.SUCCESS,
    }
    return CircRecord(**{**known, **values})


@pytest.mark.parametrize(
    ("kind", "form", "alarm"),
    [
        (CircType.EXAM, {"result": "fail"}, Alarm.FAIL),
        (CircType.EXAM, {"result": " Failed\n"}, Alarm.FAIL),
        (CircType.EXAM, {"result": "不合格"}, Alarm.FAIL),
        (CircType.EXAM, {"result": "PASS"}, Alarm.PASS),
        (CircType.EXAM, {"result": "合格"}, Alarm.PASS),
        (CircType.EXAM, {"result": "unclear"}, None),
        (CircType.EXAM, {"result": 1}, None),
        (CircType.EXAM, {}, None),
        (CircType.EXAM, None, None),
        (CircType.PROCESS, {"result": "fail"}, None),
        (CircType.PROCESS, {"recall": "mould"}, Alarm.RECALL),
        (CircType.PROCESS, {"recall": True}, Alarm.RECALL),
        (CircType.TRANSFER, {"recall": {}}, Alarm.RECALL),
        (CircType.EXAM, {"recall": "lead", "result": "pass"}, Alarm.RECALL),
        (CircType.PROCESS, {"recall": 0}, Alarm.RECALL),
        (CircType.PROCESS, {"recall": False}, Alarm.LIFTED),
        (CircType.PROCESS, {"recall": None}, Alarm.LIFTED),
        (CircType.PROCESS, {"recall": ""}, Alarm.LIFTED),
        (CircType.PROCESS, {"inner": {"recall": True}}, None),
    ],
)
def test_what_a_form_says_that_must_not_be_missed(kind: CircType, form: Any, alarm: Alarm | None) -> None:
    assert alarm_of(kind, members_of(circ(1, kind, form).form)) is alarm


def test_a_short_history_is_shown_whole_without_what_failed() -> None:
    history = [circ(1, CircType.PRODUCE), circ(2, status=CircStatus.FAILED), circ(3, status=CircStatus.PENDING)]
    assert shown_of(history) == ((history[0], history[2]), 0)
    assert shown_of([]) == ((), 0)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(list(CircType)),
            st.integers(0, 60),
            st.sampled_from([None, {"recall": "x"}, {"result": "fail"}]),
            st.sampled_from(list(CircStatus)),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_a_long_history_is_cut_where_it_hurts_least(drawn: list[Any]) -> None:
    history = [
        circ(number, kind, None if form is None else {**form, "more": "x" * length}, status=status)
        for number, (kind, length, form, status) in enumerate(drawn, 1)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trace, "CIRCS_SHOWN_MAX", 8)
        patch.setattr(trace, "FORM_BYTES_SHOWN_MAX", 300)
        shown, left_out = shown_of(history)
    counted = [one for one in history if one.status is not CircStatus.FAILED]
    assert len(shown) + left_out == len(counted)
    assert list(shown) == [one for one in counted if one in shown]
    assert len(shown) <= 8
    assert shown[:1] == tuple(counted[:1])
    assert holder_of(shown, final=True) == holder_of(counted, final=True)
    loud = [one for one in counted if alarm_of(one.circ_type, members_of(one.form)) in (Alarm.RECALL, Alarm.FAIL)]
    moves = [one for one in counted if one.circ_type in (CircType.PRODUCE, CircType.TRANSFER)]
    quiet = [one for one in shown[1:] if one not in loud and one not in moves]
    assert not quiet or all(one in shown for one in loud)


def test_who_holds_the_goods() -> None:
    history = [
        circ(1, CircType.PRODUCE, to="a"),
        circ(2, CircType.TRANSFER, to="b"),
        circ(3, CircType.EXAM, to="x"),
        circ(4, CircType.TRANSFER, to="c", status=CircStatus.PENDING),
    ]
    assert (holder_of(history, final=True), holder_of(history, final=False)) == ("b", "c")
    assert holder_of([], final=True) is None
