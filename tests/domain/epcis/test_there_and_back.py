"""A circ told as an event, and the event captured: it asks for the same circ again."""

from __future__ import annotations

import json
import string
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from node.domain.epcis.document import events_of, parse
from node.domain.epcis.ids import Item
from node.domain.epcis.parties import Party
from node.domain.epcis.read import read
from node.domain.epcis.vocabulary import BIZ_STEPS
from node.domain.epcis.write import Recorded, context, event_of, query_document
from node.domain.gs1 import check_digit
from node.domain.model import GOODS_ID_MAX, CircType

BASE = "urn:vtrace:31337:0x00000000000000000000000000000000000000aa"
ACTORS = st.integers(1, 2**20 - 1)
GTINS = st.text(string.digits, min_size=13, max_size=13).filter(lambda text: int(text) > 0)
SPELLINGS = ("{}", "cbv:BizStep-{}", "https://ref.gs1.org/cbv/BizStep-{}", "urn:epcglobal:cbv:bizstep:{}")


@st.composite
def circs(draw: st.DrawFn) -> Recorded:
    """A circ with a form that may speak EPCIS's words."""
    kind = draw(st.sampled_from(CircType))
    operator = draw(ACTORS)
    body = draw(st.none() | GTINS)
    gtin = None if body is None else f"{body}{check_digit(body)}"
    ids = sorted(draw(st.sets(st.integers(1, GOODS_ID_MAX), min_size=1, max_size=5)))
    step = st.builds(
        lambda text, word: text.format(word), st.sampled_from(SPELLINGS), st.sampled_from(sorted(BIZ_STEPS))
    )
    form = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "bizStep": step | st.text(max_size=5),
                "disposition": st.sampled_from(("active", "cbv:Disp-damaged", "urn:epcglobal:cbv:disp:expired", "?")),
                "eventTime": st.sampled_from(("2026-05-01T16:30:00+08:00", "2026-05-01T08:30:00.123456Z", "today")),
                "eventTimeZoneOffset": st.sampled_from(("+08:00", "-14:00", "+99:00")),
                "readPoint": st.sampled_from(("https://id.gs1.org/414/9506000134376", {"id": "urn:x:1"}, 7)),
                "result": st.sampled_from(("pass", "fail")),
                "note": st.text(max_size=5),
            },
        )
    )
    return Recorded(
        id=1,
        circ_type=kind,
        operator=operator,
        to=draw(ACTORS.filter(lambda actor: actor != operator)) if kind is CircType.TRANSFER else operator,
        form=json.dumps(form).encode(),
        salt=bytes(range(16)),
        trans_id="0x" + "ab" * 32,
        recorded_at=draw(st.integers(0, 4_000_000_000)) * 1_000_000,
        items=tuple(Item(goods_id, gtin, 3) for goods_id in ids),
        is_first=kind is CircType.PRODUCE and draw(st.booleans()),
    )


@given(circs())
def test_an_event_that_is_told_asks_for_the_same_circ(circ: Recorded) -> None:
    told = event_of(circ, BASE)
    body = json.dumps(query_document([told], circ.recorded_at)).encode()
    (found,) = read(events_of(parse(body)), BASE)
    assert found.circ_type is circ.circ_type
    assert [epc.goods_id for epc in found.epcs] == [item.goods_id for item in circ.items]
    assert {epc.gtin for epc in found.epcs} == {circ.items[0].gtin}
    assert found.to == (Party(circ.to, None) if circ.circ_type is CircType.TRANSFER else None)
    assert set(found.parties) == {Party(circ.operator, None)}
    assert (found.trans_id, found.hash) == (circ.trans_id, told["eventID"])
    assert json.loads(found.form) == told | {"@context": context()}


@given(circs())
def test_what_was_captured_is_told_again_with_the_same_meaning(circ: Recorded) -> None:
    told = event_of(circ, BASE)
    (found,) = read(events_of(parse(json.dumps({**told, "@context": context()}).encode())), BASE)
    again = event_of(_recorded(circ, found.form), BASE)
    same = ("type", "eventTime", "eventTimeZoneOffset", "epcList", "bizStep", "disposition", "readPoint", "bizLocation")
    assert {name: again.get(name) for name in same} == {name: told.get(name) for name in same}
    for name in ("sourceList", "destinationList", "bizTransactionList", "vtrace:circ_type", "vtrace:operator"):
        assert again.get(name) == told.get(name)


def _recorded(circ: Recorded, form: bytes) -> Recorded:
    values: dict[str, Any] = {name: getattr(circ, name) for name in circ.__dataclass_fields__}
    return Recorded(**{**values, "form": form, "is_first": False, "trans_id": "0x" + "cd" * 32})
