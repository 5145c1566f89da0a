"""A small coffee supply chain, played through a node by its rpcs alone, then audited.

A cooperative in Yunnan harvests, dries and mills a lot of 24 bags; a Q-grader cups it; half of the bags go
to an exporter and on to a roaster. Every run registers people of its own, so it can be played on any node.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from google.protobuf.wrappers_pb2 import BytesValue, StringValue
from rich import box
from rich.console import Console
from rich.table import Table
from stdnum.cn import ric, uscc

from node.api.client import NodeClient
from node.api.partner import log_in
from node.domain.model import CircType
from node.errors import SetupError
from node.wire.circ.v1 import circ_pb2
from node.wire.vtrace.v1 import service_pb2 as wire

BAGS = 24
BAG_KILOGRAMS = 60
SETTLE_SECONDS_MAX = 300
POLL_SECONDS = 0.2
FORM_SHOWN_MAX = 2

Grant = Callable[[str, str], object]
"""Gives a user (username) a role (name), as the operator of the node does."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody of the story, logged in."""

    name: str
    username: str
    token: str


class Demo:
    """One play of the story through ``client``; what happens is printed to ``console``."""

    def __init__(self, client: NodeClient, console: Console, grant: Grant) -> None:
        self._client = client
        self._console = console
        self._grant = grant
        self._names: dict[str, str] = {}
        self._step = 0

    def play(self) -> list[int]:
        """Tell the whole story; answers the ids of the bags. The node may still be anchoring it."""
        cooperative = self._verified("Gaoligong Coop", "Yang Mei")
        self._call(
            cooperative,
            "OrgAuth",
            wire.OrgAuthRequest(
                legal_name="Yang Mei",
                org_name="Gaoligong Mountain Coffee Cooperative",
                code=_org_code(),
                legal_phone="0875-2123456",
            ),
        )
        self._say(cooperative, "is verified as an org by its social credit code")
        bags = self._produce(cooperative)
        self._batch(cooperative, CircType.PROCESS, bags, DRYING, "dries the parchment on raised beds")
        self._batch(cooperative, CircType.PROCESS, bags, MILLING, "hulls and sorts it to green coffee")
        grader = self._register("Chen, Q-grader", "Chen Lan", role="examiner")
        self._batch(grader, CircType.EXAM, bags, CUPPING, "cups the lot: 85.75 points")
        exporter = self._verified("Ruili Export", "Dao Hong")
        roaster = self._verified("Lighthouse", "Wu Jing")
        half = bags[: BAGS // 2]
        self._batch(cooperative, CircType.TRANSFER, half, TO_EXPORTER, "hands 12 bags to the exporter", exporter)
        self._batch(exporter, CircType.TRANSFER, half, TO_ROASTER, "ships the 12 bags to the roaster", roaster)
        self._single(roaster, CircType.PROCESS, half[0], ROAST, f"roasts bag {half[0]}")
        return bags

    def _produce(self, cooperative: Person) -> list[int]:
        made = self._call(
            cooperative,
            "CreateGoodsClass",
            wire.CreateGoodsClassRequest(
                goods_name="Yunnan Catimor, washed, 60 kg bag",
                goods_des=BytesValue(value=_form(species="Coffea arabica", variety="Catimor P3", altitude_m=1450)),
                tm=StringValue(value="Red Cherry"),
            ),
        )
        self._say(cooperative, f"describes its product: class {made.class_id.value}")
        harvested = Timestamp(seconds=int(time.time()) - 21 * 86_400)
        serial = self._call(
            cooperative,
            "CreateGoodsSerial",
            wire.CreateGoodsSerialRequest(class_id=made.class_id.value, product_time=harvested),
        )
        self._say(cooperative, f"opens the harvest's lot: serial {serial.serial_id.value}")
        answer = self._call(
            cooperative, "BatchCreateGoods", wire.BatchCreateGoodsRequest(serial_id=serial.serial_id.value, sum=BAGS)
        )
        bags = [one.value for one in answer.ids]
        self._say(cooperative, f"fills {len(bags)} bags: goods {bags[0]} to {bags[-1]}")
        return bags

    def _register(self, name: str, realname: str, role: str | None = None) -> Person:
        phone, password = _phone(), secrets.token_urlsafe(12)
        answer = self._client.call("Register", wire.RegisterRequest(phone=phone, nickname=name, passwd=password))
        person = Person(name, answer.user.username.value, log_in(self._client, phone, password))
        self._names[person.username] = name
        self._call(
            person,
            "IdentityAuth",
            wire.IdentityAuthRequest(realname=realname, idcard=_resident_id()),
        )
        if role is None:
            return person
        self._grant(person.username, role)
        return replace(person, token=log_in(self._client, phone, password))  # another role ended the first one

    def _verified(self, name: str, realname: str) -> Person:
        person = self._register(name, realname)
        self._say(person, f"registers, proves its identity: {person.username}")
        return person

    def _batch(
        self,
        by: Person,
        circ_type: CircType,
        bags: list[int],
        form: bytes,
        what: str,
        to: Person | None = None,
    ) -> None:
        request = wire.BatchCircRequest(
            goods_ids=bags, circ_type=_wire_type(circ_type), form_info=BytesValue(value=form)
        )
        if to is not None:
            request.to.value = to.username
        answer = self._call(by, "BatchCirc", request)
        self._say(by, what, answer.goodsId2transId[bags[0]])

    def _single(self, by: Person, circ_type: CircType, bag: int, form: bytes, what: str) -> None:
        request = wire.CreateCircRequest(
            goods_id=bag, circ_type=_wire_type(circ_type), form_value=BytesValue(value=form)
        )
        self._say(by, what, self._call(by, "CreateCirc", request).trans_id.value)

    def _call(self, by: Person, name: str, request: Any) -> Any:
        return self._client.call(name, request, by.token)

    def _say(self, by: Person, what: str, trans_id: str = "") -> None:
        self._step += 1
        anchor = f"  [dim]{trans_id[:10]}…[/dim]" if trans_id else ""
        line = f"{self._step:>3}. [bold]{by.name}[/bold] {what}{anchor}"
        self._console.print(line, highlight=False, soft_wrap=True)

    def wait(self, bags: list[int]) -> None:
        """Until nothing of the bags is pending; SetupError after SETTLE_SECONDS_MAX."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        with self._console.status("waiting for the chain to confirm…"):
            # The last circ of all is the first bag's: circs are mined in the order in which they were answered.
            while any(record.status.value == "pending" for record in self._records(bags[0])):
                if time.monotonic() > deadline:
                    raise SetupError(f"circs still wait for the chain after {SETTLE_SECONDS_MAX} s; see the node's log")
                time.sleep(POLL_SECONDS)

    def show(self, bag: int) -> None:
        """The history of one bag as a table."""
        table = Table(title=f"History of bag {bag}", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in ("times", "kind", "by", "to", "form", "status", "trans_id"):
            table.add_column(column, no_wrap=column != "form")
        for record in self._records(bag):
            to = record.to.value
            table.add_row(
                str(record.times.value),
                circ_pb2.CircType.Name(record.circ_type),
                self._name(record.Operator.value),
                self._name(to) if to != record.Operator.value else "",
                _shown_form(record.from_value.value),
                record.status.value,
                f"{record.trans_id.value[:8]}…",
            )
        self._console.print()
        self._console.print(table)

    def _records(self, bag: int) -> list[Any]:
        return list(self._client.call("GetCirc", wire.GetCircRequest(goods_id=bag)).circ_records)

    def _name(self, username: str) -> str:
        return self._names.get(username, username)


def _wire_type(circ_type: CircType) -> Any:
    return circ_type.name.lower()


def _form(**fields: object) -> bytes:
    return json.dumps(fields, ensure_ascii=False).encode()


def _shown_form(form: str) -> str:
    if not form:
        return ""
    shown = []
    for name, value in json.loads(form).items():
        if isinstance(value, dict):
            value = value.get("name", "…")
        shown.append(f"{name}: {value}")
    return ", ".join(shown[:FORM_SHOWN_MAX])


def _phone() -> str:
    return f"13{secrets.randbelow(10**9):09d}"


def _resident_id() -> str:
    body = f"5305021985{1 + secrets.randbelow(9):02d}{1 + secrets.randbelow(28):02d}{secrets.randbelow(1000):03d}"
    return body + str(ric.calc_check_digit(body + "0"))


def _org_code() -> str:
    body = f"93530502MA{secrets.randbelow(10**7):07d}"
    return body + str(uscc.calc_check_digit(body))


DRYING = _form(
    step="drying",
    method="raised beds, shade net",
    days=17,
    moisture_percent=11.2,
    water_activity=0.56,
    altitude_m=1450,
    station="Xincheng",
)
MILLING = _form(
    step="dry milling",
    screen_size="16+",
    green_kg=BAGS * BAG_KILOGRAMS,
    outturn_percent=80.4,
    defects_per_350_g=4,
    bag="GrainPro, 60 kg",
)
CUPPING = _form(
    cup_score=85.75,
    protocol="SCA cupping, 5 cups",
    scores={
        "aroma": 7.75,
        "flavour": 7.75,
        "aftertaste": 7.5,
        "acidity": 7.75,
        "body": 7.75,
        "balance": 7.5,
        "uniformity": 10,
        "clean_cup": 10,
        "sweetness": 10,
        "overall": 9.75,
    },
    notes="brown sugar, tamarind, black tea",
    grader_licence="Q-2231",
)
TO_EXPORTER = _form(delivery_note="GLG-2026-0117", truck="云M·C4821", seal="YN-889120", gross_kg=728, bags=12)
TO_ROASTER = _form(
    container="TCLU4825163",
    seal="CN7741902",
    bill_of_lading="COSU6329118840",
    incoterm="FOB Qinzhou",
    port_of_discharge="Hamburg",
)
ROAST = _form(
    step="roast",
    profile="filter, medium light",
    charge_c=195,
    drop_c=208,
    development_percent=16.5,
    agtron=68,
    green_kg=60,
    roasted_kg=51.3,
)
