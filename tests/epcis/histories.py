"""An index with random histories, made by the rules of custody: what a node has after some time, without a chain.

No URI of the forms has a short number alone: epcis2.js 2.7.0 takes such for a date (``Date.parse``), and hashes that.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from node.domain.custody import CustodyError, GoodsState, apply
from node.domain.form import SALT_BYTES, ProducedClass, ProducedOrg, ProducedSerial, ProduceForm, rfc3339
from node.domain.model import Circ, CircType, Rights, ranges_of
from node.domain.records import Actor, TxKind
from node.domain.roles import Role
from node.store import circs, outbox, people, products
from node.store.circs import NewCirc
from node.store.db import Store

CHAIN_ID = 31337
CONTRACT = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
BEGAN = 1_790_000_000_000_000
GTINS = ("06901234567892", "6901234567892", "96385074", "", "no number")
RIGHTS = (Rights(7), Rights(7), Rights.CIRCULATE, Rights(5))
STEPS = ("drying", "packing in bags", "Storage", "装箱", "装车", "roast", "sell", "", "-", "x" * 300)
WORDS = ("packing", "urn:epcglobal:cbv:bizstep:storing", "cbv:BizStep-loading", "https://ref.gs1.org/cbv/BizStep-other")
OTHER_WORDS = (
    "https://example.com/steps/roasting",
    "urn:example:step:toasting",
    "receiving",
    "destroying",
    "no such",
    7,
    None,
)
PLACES: tuple[Any, ...] = (
    "https://id.gs1.org/414/6901234567892",
    {"id": "urn:epc:id:sgln:4012345.00005.0"},
    {"id": "urn:epc:id:sgln:4012345.00005.12a"},
    "https://example.com/gln/4012345000054/254/7?x=1",
    "geo:47.506694,11.104301",
    "http://warehouse.example/north",
    "not a place",
    {"id": 7},
    [],
)
PARTIES = ("urn:epc:id:pgln:4012345.00005", "https://id.gs1.org/417/4012345000054", "https://example.com/org/north")


class World:
    """A store, and who acts in it: actors 1 and 2 produce, 4 examines."""

    def __init__(self, path: Path, choose: Random) -> None:
        self.store = Store(path)
        self.choose = choose
        self.now = BEGAN
        self.states: dict[int, GoodsState] = {}
        self._nonce = 0
        with self.store.write():
            self.store.remember(chain_id=str(CHAIN_ID), contract=CONTRACT)
            self.orgs = [self._person(number, rights) for number, rights in enumerate(RIGHTS, 1)][:2]
            self.serials = [self._serial(number) for number in range(10)]

    def circ(self, goods: Sequence[int], kind: CircType, by: int, to: int, form: bytes) -> int | None:
        """Record a circ, which succeeded; its id, or None where the rules of custody forbid it."""
        version = sum(self.states[each].times for each in goods)
        rights = dict(enumerate(RIGHTS, 1))
        asked = Circ(ranges_of(goods), kind, by, to, bytes(32), version)
        try:
            after = apply(asked, {each: self.states[each] for each in goods}, rights)
        except CustodyError:
            return None
        times = {each: self.states[each].times for each in goods}
        outbox_id = self._sent(TxKind.CIRC)
        salt = self.choose.randbytes(SALT_BYTES)
        (circ_id,) = circs.add([NewCirc(kind, by, to, form, salt, outbox_id, times)], self.now)
        circs.set_custody(after, outbox_id)
        circs.succeed([outbox_id])
        self.states.update(after)
        return circ_id

    def produce(self, total: int) -> list[int]:
        """Make goods of some serial, with their first circ."""
        serial_id, user_id, by, form = self.choose.choice(self.serials)
        ids = products.add_goods(serial_id=serial_id, creator_id=user_id, state="active", total=total)
        self.states |= dict.fromkeys(ids, GoodsState(0, 0))
        assert self.circ(ids, CircType.PRODUCE, by, by, form)
        return ids

    def play(self, total: int) -> None:
        """Record so many circs of all kinds."""
        choose, made = self.choose, 0
        with self.store.write():
            self.produce(20)
            while made < total - 1:
                self.now += choose.choice((0, 1, 999, 1_000, 123_456, 10**9))
                if choose.random() < 0.1:
                    self.produce(choose.choice((1, 2, 5, 50)))
                    made += 1
                    continue
                goods = (
                    choose.choice(list(self.states)) if len(self.states) < 50 else choose.randrange(1, len(self.states))
                )
                holder = self.states[goods].holder
                batch = [each for each in range(goods, goods + choose.choice((1, 1, 2, 30))) if each in self.states]
                batch = [each for each in batch if self.states[each].holder == holder]
                kind = choose.choice((*CircType, CircType.PROCESS, CircType.TRANSFER))
                to = choose.choice([each for each in (1, 2, 3, 4) if each != holder])
                done = self.circ(batch, kind, holder, to if kind is CircType.TRANSFER else holder, form(choose))
                made += done is not None

    def _person(self, number: int, rights: Rights) -> tuple[int, int, int]:
        user = people.add_user(
            username=f"u{number}",
            nickname=f"user {number}",
            role=Role.BOSS,
            password_hash="",
            now=self.now,
        )
        org = people.add_org(
            name=f"Org {number}",
            code=f"91530100MA000000{number}X",
            info=b"",
            owner_id=user.id,
            now=self.now,
        )
        circs.add_actor(Actor(number, user.id, f"0x{number:040x}", rights), b"", self._sent(TxKind.REGISTER_ACTOR))
        return user.id, number, org.id

    def _serial(self, number: int) -> tuple[int, int, int, bytes]:
        user_id, actor, org_id = self.orgs[number % 2]
        description = json.dumps({"gtin": GTINS[number % len(GTINS)], "variety": "Catimor"})
        name, at = f"Coffee {number}", BEGAN - number * 86_400_000_000
        class_id = products.add_class(
            name=name,
            description=description.encode(),
            trademark="Red",
            material_id=0,
            state="active",
            org_id=org_id,
            creator_id=user_id,
            now=self.now,
        )
        serial_id = products.add_serial(
            class_id=class_id, product_time=at, state="active", creator_id=user_id, now=self.now
        )
        form = ProduceForm(
            ProducedClass(class_id, name, description, "Red", 0),
            ProducedSerial(serial_id, rfc3339(at)),
            ProducedOrg(org_id, f"Org {org_id}", "91530100MA0000001X"),
        )
        return serial_id, user_id, actor, form.to_bytes()

    def _sent(self, kind: TxKind) -> int:
        self._nonce += 1
        tx_hash = f"0x{self.choose.randbytes(32).hex()}"
        return outbox.add(signer="0x1", nonce=self._nonce, kind=kind, raw=b"", tx_hash=tx_hash, now=self.now)


def form(choose: Random) -> bytes:
    """A form as somebody may record it: none, one of its own words, one of EPCIS's, right and wrong."""
    if choose.random() < 0.2:
        return b""
    said: dict[str, Any] = {"note": "Lot 7, 2026-05-01 08:00:00", "备注": "好"}
    options: dict[str, tuple[Any, ...]] = {
        "step": STEPS,
        "bizStep": WORDS + OTHER_WORDS,
        "disposition": (
            "conformant",
            "urn:epcglobal:cbv:disp:damaged",
            "cbv:Disp-active",
            "https://example.com/d",
            "?",
        ),
        "readPoint": PLACES,
        "bizLocation": PLACES,
        "result": ("pass", "不合格", "Fail ", "maybe", 1),
        "recall": ("salmonella", False, None),
        "eventTime": ("2026-05-01T08:00:00+08:00", "2026-05-01T08:00:00.123456Z", "yesterday", "2026-13-01T08:00:00Z"),
        "eventTimeZoneOffset": ("+08:00", "-02:30", "8"),
        "type": ("ObjectEvent",),
        "eventID": ("urn:uuid:58aac6ac-d6aa-4a1f-9c5e-0e1d0f1f6a52", "https://example.com/events/a", "7"),
        "bizTransactionList": (
            [{"type": "po", "bizTransaction": "https://example.com/po/12345678"}],
            [{"type": "cbv:BTT-inv", "bizTransaction": "urn:epcglobal:cbv:bt:4012345000009:ASN1099"}] * 1
            + [{"bizTransaction": "https://example.com/desadv/12345679", "type": "desadv"}],
            [{"bizTransaction": "https://example.com/po/12345678"}],
            [7],
        ),
        "sourceList": ([{"type": "owning_party", "source": choose.choice(PARTIES)}], "x"),
        "destinationList": (
            [
                {"type": "urn:epcglobal:cbv:sdt:possessing_party", "destination": choose.choice(PARTIES)},
                {"destination": "https://id.gs1.org/414/6901234567892", "type": "location"},
            ],
            [{"type": "nobody", "destination": "https://example.com"}],
        ),
    }
    for name, values in options.items():
        if choose.random() < 0.3:
            said[name] = choose.choice(values)
    return json.dumps(said, ensure_ascii=choose.random() < 0.5).encode()
