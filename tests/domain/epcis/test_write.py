"""Which event a circ is: the table of docs/epcis.md, line by line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from node.domain.epcis.ids import Item, base_of
from node.domain.epcis.vocabulary import BIZ_STEPS, DISPOSITIONS, STEP_OF_WORD
from node.domain.epcis.write import Recorded, event_of, moment
from node.domain.form import NO_SALT, ProducedClass, ProducedOrg, ProducedSerial, ProduceForm, form_digest
from node.domain.model import CircType

CONTRACT = "0xABCDEFabcdefabcdefabcdefabcdefabcdefabcd"
BASE = base_of(31337, CONTRACT)
PRIVATE = f"urn:vtrace:31337:{CONTRACT.lower()}"
GTIN = "06901234567892"
AT = 1_790_000_000_123_999
SALT = bytes(range(16))
MADE = ProduceForm(
    ProducedClass(3, "Yunnan", f'{{"gtin":"{GTIN}"}}', "", 0),
    ProducedSerial(12, "2026-05-01T08:00:00.000000Z"),
    ProducedOrg(1, "Coop", "91530100MA0000001X"),
).to_bytes()


def recorded(kind: CircType, form: Any = None, **changes: Any) -> Recorded:
    values: dict[str, Any] = {
        "id": 5,
        "circ_type": kind,
        "operator": 3,
        "to": 4 if kind is CircType.TRANSFER else 3,
        "form": form if isinstance(form, bytes) else b"" if form is None else json.dumps(form).encode(),
        "salt": SALT,
        "trans_id": "0x" + "12" * 32,
        "recorded_at": AT,
        "items": (Item(17, GTIN, 12), Item(18, None, 13)),
        "is_first": False,
    }
    return Recorded(**{**values, **changes})


def event(kind: CircType, form: Any = None, **changes: Any) -> dict[str, Any]:
    return event_of(recorded(kind, form, **changes), BASE)


def test_the_circ_that_makes_goods_commissions_them() -> None:
    made = event(CircType.PRODUCE, MADE, is_first=True)
    assert {name: made[name] for name in made if not name.startswith(("vtrace:", "eventID"))} == {
        "type": "ObjectEvent",
        "eventTime": "2026-09-21T14:13:20.123Z",
        "recordTime": "2026-09-21T14:13:20.123Z",
        "eventTimeZoneOffset": "+00:00",
        "epcList": [f"https://id.gs1.org/01/{GTIN}/21/17", f"{PRIVATE}:obj:18"],
        "action": "ADD",
        "bizStep": "commissioning",
        "disposition": "active",
        "ilmd": {"cbvmda:lotNumber": "12", "cbvmda:productionDate": "2026-05-01"},
    }
    assert made["eventID"].startswith("ni:///sha-256;")
    assert made["eventID"].endswith("?ver=CBV2.0")


def test_what_is_only_here_stands_in_the_extension() -> None:
    made = event(CircType.EXAM, {"note": 1})
    assert {name: value for name, value in made.items() if ":" in name} == {
        "vtrace:trans_id": "0x" + "12" * 32,
        "vtrace:circ_type": "exam",
        "vtrace:operator": f"{PRIVATE}:party:3",
        "vtrace:form_digest": "0x" + form_digest(SALT, b'{"note": 1}').hex(),
    }
    assert "vtrace:form_digest" not in event(CircType.EXAM, b"", salt=NO_SALT)


@pytest.mark.parametrize(
    ("form", "told"),
    [
        ({"type": "ObjectEvent", "eventID": "urn:uuid:58aac6ac-d6aa-4a1f-9c5e-0e1d0f1f6a52"}, True),
        ({"type": "ObjectEvent", "eventID": "no URI"}, False),
        ({"type": "ObjectEvent", "eventID": 7}, False),
        ({"type": "ObjectEvent"}, False),
        ({"eventID": "urn:uuid:58aac6ac-d6aa-4a1f-9c5e-0e1d0f1f6a52"}, False),
    ],
)
def test_a_captured_event_is_found_by_the_id_that_it_came_with(form: Any, told: bool) -> None:
    made = event(CircType.PROCESS, form)
    assert made["eventID"].startswith("ni:///sha-256;")
    assert made.get("vtrace:captured_event") == (form["eventID"] if told else None)


def test_a_transfer_has_who_gave_and_who_got() -> None:
    made = event(CircType.TRANSFER)
    assert (made["action"], made["bizStep"], made["disposition"]) == ("OBSERVE", "shipping", "in_transit")
    assert made["sourceList"] == [{"type": "possessing_party", "source": f"{PRIVATE}:party:3"}]
    assert made["destinationList"] == [{"type": "possessing_party", "destination": f"{PRIVATE}:party:4"}]
    made = event(CircType.TRANSFER, {"bizStep": "receiving"})
    assert (made["bizStep"], made["disposition"]) == ("receiving", "in_progress")
    own = [{"type": "cbv:SDT-owning_party", "destination": "urn:epc:id:pgln:4012345.00005"}]
    made = event(CircType.TRANSFER, {"destinationList": own})
    assert made["destinationList"] == [{"type": "owning_party", "destination": "urn:epc:id:pgln:4012345.00005"}]
    assert made["sourceList"][0]["source"] == f"{PRIVATE}:party:3"


@pytest.mark.parametrize(
    ("kind", "form", "step", "disposition", "action"),
    [
        (CircType.PROCESS, None, "other", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"step": "Packing in bags"}, "packing", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"step": "装箱"}, "packing", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"step": "drying"}, "other", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"step": 7}, "other", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"step": "pack", "bizStep": "storing"}, "storing", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"bizStep": "cbv:BizStep-loading"}, "loading", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"bizStep": "urn:epcglobal:cbv:bizstep:loading"}, "loading", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"bizStep": "https://ref.gs1.org/cbv/BizStep-loading"}, "loading", "in_progress", "OBSERVE"),
        (
            CircType.PROCESS,
            {"bizStep": "https://example.com/roast"},
            "https://example.com/roast",
            "in_progress",
            "OBSERVE",
        ),
        (CircType.PROCESS, {"bizStep": "roasting"}, "other", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"bizStep": "urn:epcglobal:cbv:bizstep:roasting"}, "other", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"bizStep": "destroying"}, "destroying", "destroyed", "DELETE"),
        (CircType.PROCESS, {"bizStep": "decommissioning"}, "decommissioning", "inactive", "DELETE"),
        (CircType.PROCESS, {"step": "sell"}, "retail_selling", "retail_sold", "OBSERVE"),
        (CircType.PROCESS, {"disposition": "urn:epcglobal:cbv:disp:damaged"}, "other", "damaged", "OBSERVE"),
        (CircType.PROCESS, {"disposition": "broken"}, "other", "in_progress", "OBSERVE"),
        (CircType.PROCESS, {"recall": "salmonella"}, "other", "recalled", "OBSERVE"),
        (CircType.PROCESS, {"recall": False}, "other", "in_progress", "OBSERVE"),
        (CircType.EXAM, None, "inspecting", "in_progress", "OBSERVE"),
        (CircType.EXAM, {"result": "Pass"}, "inspecting", "conformant", "OBSERVE"),
        (CircType.EXAM, {"result": "不合格"}, "inspecting", "non_conformant", "OBSERVE"),
        (CircType.EXAM, {"result": "fail", "recall": "why"}, "inspecting", "recalled", "OBSERVE"),
        (CircType.EXAM, {"step": "pack"}, "inspecting", "in_progress", "OBSERVE"),
        (CircType.EXAM, {"bizStep": "sampling"}, "sampling", "in_progress", "OBSERVE"),
        (CircType.PRODUCE, None, "commissioning", "active", "ADD"),
        (CircType.PRODUCE, {"bizStep": "packing"}, "packing", "in_progress", "OBSERVE"),
    ],
)
def test_kind_and_form_decide_the_step(kind: CircType, form: Any, step: str, disposition: str, action: str) -> None:
    made = event(kind, form)
    assert (made["bizStep"], made["disposition"], made["action"]) == (step, disposition, action)
    assert "ilmd" not in made


def test_the_first_circ_does_not_listen_to_its_form() -> None:
    made = event(CircType.PRODUCE, {"bizStep": "packing"}, is_first=True)
    assert (made["bizStep"], made["action"]) == ("commissioning", "ADD")
    assert "ilmd" not in made


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            {"eventTime": "2026-05-01T08:00:00+08:00", "eventTimeZoneOffset": "+08:00"},
            ("2026-05-01T00:00:00.000Z", "+08:00"),
        ),
        (
            {"eventTime": "2026-05-01T08:00:00.1239Z", "eventTimeZoneOffset": "-02:30"},
            ("2026-05-01T08:00:00.123Z", "-02:30"),
        ),
        ({"eventTime": "2026-05-01T08:00:00Z"}, (moment(AT), "+00:00")),
        ({"eventTime": "2026-02-30T08:00:00Z", "eventTimeZoneOffset": "+08:00"}, (moment(AT), "+00:00")),
        ({"eventTime": "0001-01-01T00:00:00+14:00", "eventTimeZoneOffset": "+14:00"}, (moment(AT), "+00:00")),
        ({"eventTime": "2026-05-01T08:00:00Z", "eventTimeZoneOffset": "+15:00"}, (moment(AT), "+00:00")),
        ({"eventTime": 7, "eventTimeZoneOffset": "+08:00"}, (moment(AT), "+00:00")),
    ],
)
def test_a_form_may_say_when_it_happened(said: dict[str, Any], told: tuple[str, str]) -> None:
    made = event(CircType.PROCESS, said)
    assert (made["eventTime"], made["eventTimeZoneOffset"]) == told
    assert made["recordTime"] == moment(AT)


@pytest.mark.parametrize("name", ["readPoint", "bizLocation"])
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("https://id.gs1.org/414/6901234567892", "https://id.gs1.org/414/6901234567892"),
        ({"id": "geo:47.5,11.1", "more": 1}, "geo:47.5,11.1"),
        ("Kunming", None),
        ("https://example.com/a b", None),
        ({"id": 7}, None),
        ([], None),
        ("https://example.com/" + "x" * 1_024, None),
    ],
)
def test_a_place_is_a_uri_or_left_out(name: str, said: Any, told: str | None) -> None:
    made = event(CircType.PROCESS, {name: said})
    assert made.get(name) == (None if told is None else {"id": told})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([{"type": "po", "bizTransaction": "urn:epcglobal:cbv:bt:4012345000009:7"}], "po"),
        (
            [{"type": "https://example.com/t", "bizTransaction": "urn:epcglobal:cbv:bt:4012345000009:7"}],
            "https://example.com/t",
        ),
        ([{"bizTransaction": "urn:epcglobal:cbv:bt:4012345000009:7"}], None),
        ([{"type": "order", "bizTransaction": "urn:epcglobal:cbv:bt:4012345000009:7"}], None),
        ([{"type": "po", "bizTransaction": "7"}], None),
        ([{"type": "po", "bizTransaction": "urn:a:7", "more": 1}], None),
        ([{"type": "po", "bizTransaction": "urn:a:7"}] * 101, None),
        ({}, None),
    ],
)
def test_transactions_are_taken_whole_or_not(said: Any, told: str | None) -> None:
    made = event(CircType.PROCESS, {"bizTransactionList": said}).get("bizTransactionList")
    assert (made[0]["type"] if made else None) == told


@pytest.mark.parametrize("form", [b"", b"7", b"[]", b"\xff", b"{", b'{"bizStep": {"a": 1}, "step": [], "result": {}}'])
def test_any_form_makes_an_event(form: bytes) -> None:
    assert event(CircType.PROCESS, form)["bizStep"] == "other"


def test_the_words_lead_to_words_of_the_cbv() -> None:
    assert set(STEP_OF_WORD.values()) < BIZ_STEPS
    assert (len(BIZ_STEPS), len(DISPOSITIONS)) == (41, 33)


def test_the_documentation_has_every_word() -> None:
    told = (Path(__file__).parents[3] / "docs" / "epcis.md").read_text()
    lines = [line.split("|") for line in told.splitlines() if line.startswith("| `")]
    table = {cells[1]: cells[2] for cells in lines}
    for word, step in STEP_OF_WORD.items():
        (words,) = (words for steps, words in table.items() if f"`{step}`" in steps)
        assert word in words.replace(";", ",").replace(" ", "").split(","), (word, step)
