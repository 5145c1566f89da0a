"""What the page of goods shows, made of a trace. No I/O.

``node/page/script/expected.ts`` derives the same texts on the reader's device from the page's data. A change here is a
change there; tests hold the two together.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from node.domain.files import served, texts_in
from node.domain.model import CircStatus, CircType
from node.domain.records import CircRecord
from node.domain.trace import Alarm, Number, Trace, alarm_of, holder_of, members_of
from node.page import text
from node.page.parts import Entry, File, Notice, Page, Place, When, Who
from node.page.text import Tree, clean, say

ALARMS_SHOWN_MAX = 10
FILES_OF_ENTRY_MAX = 12
PICTURE_BYTES_MAX = 8 * 1024 * 1024
"""Larger pictures are linked: readers pay for what they load, and the script would not check them either."""

FORMS_KEPT_MAX = 1_024
FORM_KEPT_BYTES_MAX = 1_024

_ADDRESS = re.compile(r"(?:ipfs://|/ipfs/)(baf(?:krei|ybei)[a-z2-7]{52})(?![0-9A-Za-z])", re.ASCII)


def page_of(language: str, trace: Trace, times: Mapping[int, int], place: Place, *, is_hinted: bool = False) -> Page:
    """``times`` has the seconds since 1970 of the blocks that are known, by the circ's id."""
    return _Maker(language, trace, times, place, is_hinted).page()


class _Maker:
    def __init__(self, language: str, trace: Trace, times: Mapping[int, int], place: Place, is_hinted: bool) -> None:
        self._language = language
        self._trace = trace
        self._times = times
        self._place = place
        self._is_hinted = is_hinted
        self._known: dict[str, Who] = {}
        self._members = [members_of(circ.form) for circ in trace.circs]
        self._product = _product_of(trace.circs[0], self._members[0]) if trace.circs else None

    def page(self) -> Page:
        product = self._product or {}
        name = clean(product.get("name", "")) or self._say("unknown_product")
        goods_id = self._trace.goods.id
        holder, coming = (holder_of(self._trace.circs, final=final) for final in (True, False))
        return Page(
            title=self._say("title", product=name, goods=goods_id),
            trademark=clean(product.get("trademark", "")),
            product=name,
            goods=self._say("goods", goods=goods_id),
            notices=tuple(self._notices()),
            facts=tuple(self._facts(product)),
            holder=None if holder is None else self._who(holder),
            waiting_holder=self._say("waiting_holder", name=self._who(coming).short)
            if coming is not None and coming != holder
            else "",
            is_hinted=self._is_hinted,
            about=_about(self._language, product.get("description", "")),
            entries=tuple(self._entry(index) for index in range(len(self._trace.circs))),
            omitted=self._say("omitted", count=self._trace.left_out) if self._trace.left_out else "",
            data=self._data(),
        )

    def _say(self, label: str, **values: object) -> str:
        return say(self._language, label, **values)

    def _who(self, username: str) -> Who:
        if username not in self._known:
            self._known[username] = self._named_by(username)
        return self._known[username]

    def _named_by(self, username: str) -> Who:
        org = clean(self._product["org"]) if self._product else ""
        if org and username == self._trace.circs[0].operator:
            return Who(org, clean(username), own=False)
        party = self._trace.parties.get(username)
        nickname = clean(party.nickname) if party else ""
        return Who(self._say("nickname", name=nickname) if nickname else "", clean(username), own=True)

    def _when(self, circ: CircRecord) -> When:
        seconds, by_block = self._seconds(circ)
        shown = text.moment(self._language, seconds)
        return When(shown if by_block else self._say("recorded", when=shown), text.machine_time(seconds))

    def _seconds(self, circ: CircRecord) -> tuple[int, bool]:
        """The time of a circ, and whether it is its block's."""
        if circ.status is CircStatus.SUCCESS and circ.id in self._times:
            return self._times[circ.id], True
        placed = self._trace.placed.get(circ.id)
        return (placed.recorded_at // 1_000_000 if placed else 0), False

    def _facts(self, product: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        if product:
            yield self._say("maker"), clean(product["org"]) or self._say("none")
            yield self._say("code"), clean(product["code"]) or self._say("none")
            yield self._say("produced"), text.moment_of(self._language, product["time"]) or self._say("none")
            yield self._say("serial"), product["serial"]
        counts = dict.fromkeys((Alarm.PASS, Alarm.FAIL, None), 0)
        for circ, members in zip(self._trace.circs, self._members, strict=True):
            if circ.circ_type is CircType.EXAM:
                alarm = alarm_of(circ.circ_type, members)
                counts[alarm if alarm in counts else None] += 1
        passed, failed, other = counts.values()
        if other:
            shown = self._say("exams_other", passed=passed, failed=failed, other=other)
        else:
            shown = self._say("exams_count", passed=passed, failed=failed)
        yield self._say("exams"), shown if passed + failed + other else self._say("exams_none")

    def _notices(self) -> Iterator[Notice]:
        """Recalls that nobody lifted, failed exams, recalls that were lifted; the newest of each first."""
        circs = self._trace.circs
        alarms = [alarm_of(circ.circ_type, members) for circ, members in zip(circs, self._members, strict=True)]
        lifted: set[str] = set()
        found: dict[Alarm, list[int]] = {Alarm.RECALL: [], Alarm.FAIL: [], Alarm.LIFTED: []}
        awaiting: dict[str, int] = {}
        for index in range(len(circs) - 1, -1, -1):
            alarm, operator = alarms[index], circs[index].operator
            if alarm is Alarm.LIFTED:
                lifted.add(operator)
                awaiting[operator] = index
            elif alarm is Alarm.RECALL:
                if operator not in lifted:
                    found[Alarm.RECALL].append(index)
                elif operator in awaiting:
                    found[Alarm.LIFTED].append(awaiting.pop(operator))
            elif alarm is Alarm.FAIL:
                found[Alarm.FAIL].append(index)
        loud = [(alarm, index) for alarm, indexes in found.items() for index in indexes]
        for alarm, index in loud[:ALARMS_SHOWN_MAX]:
            yield Notice(
                alarm.value,
                self._say(alarm.value),
                self._reason(alarm, index),
                self._say("by_at", who=self._who(circs[index].operator).short, when=self._when(circs[index]).text),
                index,
            )

    def _reason(self, alarm: Alarm, index: int) -> str:
        if alarm is not Alarm.RECALL:
            return ""
        reason = (self._members[index] or {}).get("recall")
        said = clean(reason) if isinstance(reason, str) and not isinstance(reason, Number) else ""
        return said or self._say("recall_text")

    def _entry(self, index: int) -> Entry:
        circ, members = self._trace.circs[index], self._members[index]
        alarm = alarm_of(circ.circ_type, members)
        alarm_label = {Alarm.PASS: "pass", Alarm.FAIL: "failed", Alarm.RECALL: "recall", Alarm.LIFTED: "lifted"}
        cids = _cids_in(circ.form, members)
        is_product = index == 0 and self._product is not None
        return Entry(
            number=index,
            kind=int(circ.circ_type),
            kind_text=self._say(f"kind{int(circ.circ_type)}"),
            alarm=alarm.value if alarm else "",
            alarm_text=self._say(alarm_label[alarm]) if alarm else "",
            who=self._who(circ.operator),
            to=self._who(circ.to) if circ.to != circ.operator else None,
            when=self._when(circ),
            pending=circ.status is not CircStatus.SUCCESS,
            forgotten=not circ.salt,
            fields=None if is_product or not members else _fields(self._language, circ.form, members),
            files=tuple(self._file(cid) for cid in cids[:FILES_OF_ENTRY_MAX]),
            more_files=self._say("more_files", count=len(cids) - FILES_OF_ENTRY_MAX)
            if len(cids) > FILES_OF_ENTRY_MAX
            else "",
            proof=tuple(self._proof(circ)),
        )

    def _file(self, cid: str) -> File:
        record = self._trace.files.get(cid)
        if record is None:
            return File(cid, self._say("no_file", cid=cid), is_here=False, is_picture=False)
        name, kind, is_picture = self._named(cid)
        if is_picture:
            return File(cid, self._say("picture", name=name), is_here=True, is_picture=True)
        return File(
            cid, self._say("file", name=name, type=kind, size=text.size(record.size)), is_here=True, is_picture=False
        )

    def _named(self, cid: str) -> tuple[str, str, bool]:
        """A file's name and type for readers, and whether it is shown as a picture."""
        record = self._trace.files[cid]
        how = served(record.sniffed, record.declared)
        name = clean(record.filename) or f"{cid[:12]}…"
        is_picture = how.inline and how.content_type.startswith("image/") and record.size <= PICTURE_BYTES_MAX
        return name, how.content_type.partition(";")[0], is_picture

    def _proof(self, circ: CircRecord) -> Iterator[tuple[str, str]]:
        yield self._say("number"), self._say("none") if circ.times is None else str(circ.times)
        yield self._say("trans_id"), circ.trans_id
        if circ.tx_hash is not None and circ.tx_hash != circ.trans_id:
            yield self._say("tx_hash"), circ.tx_hash
        if circ.salt:
            yield self._say("digest"), circ.salt.hex()

    def _data(self) -> str:
        trace = self._trace
        circs = []
        for circ in trace.circs:
            seconds, by_block = self._seconds(circ)
            circs.append(
                {
                    "kind": int(circ.circ_type),
                    "operator": circ.operator,
                    "to": circ.to,
                    "form": circ.form.decode(),
                    "salt": circ.salt.hex(),
                    "trans_id": circ.trans_id,
                    "tx_hash": circ.tx_hash,
                    "times": circ.times,
                    "status": circ.status.value,
                    "time": seconds,
                    "by_block": by_block,
                }
            )
        value = {
            "language": self._language,
            "goods": trace.goods.id,
            "chain": str(self._place.chain_id),
            "contract": self._place.contract,
            "endpoint": self._place.endpoint,
            "left_out": trace.left_out,
            "hinted": self._is_hinted,
            "parties": {name: [party.nickname, party.registered] for name, party in trace.parties.items()},
            "files": {cid: [*self._named(cid), record.size] for cid, record in trace.files.items()},
            "circs": circs,
        }
        return within_script(value)


def within_script(value: object) -> str:
    """JSON that no HTML parser reads as the end of a script element, or as a comment in it."""
    made = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        made = made.replace(character, f"\\u{ord(character):04x}")
    return made


def _product_of(circ: CircRecord, members: dict[str, Any] | None) -> dict[str, str] | None:
    """What the first produce circ says of the goods, None if it is not the first or says nothing."""
    if circ.circ_type is not CircType.PRODUCE or members is None:
        return None
    goods_class, serial, org = (members.get(name) for name in ("class", "serial", "org"))
    if not (isinstance(goods_class, dict) and isinstance(serial, dict) and isinstance(org, dict)):
        return None
    number = serial.get("id")
    found = {
        "name": goods_class.get("name"),
        "trademark": goods_class.get("trademark"),
        "description": goods_class.get("description"),
        "time": serial.get("product_time"),
        "org": org.get("name"),
        "code": org.get("code"),
    }
    texts = {name: value for name, value in found.items() if isinstance(value, str) and not isinstance(value, Number)}
    return {**texts, "serial": number} if len(texts) == len(found) and isinstance(number, Number) else None


def _about(language: str, description: str) -> Tree | None:
    members = members_of(description.encode("utf-8", "surrogatepass"))
    if members is not None:
        return text.tree(language, members) if members else None
    return clean(description) or None


def _fields(language: str, form: bytes, members: dict[str, Any]) -> Tree:
    """What a form says. Goods of a batch have their forms in common, so short ones are kept."""
    return _fields_kept(language, form) if len(form) <= FORM_KEPT_BYTES_MAX else text.tree(language, members)


@lru_cache(FORMS_KEPT_MAX)
def _fields_kept(language: str, form: bytes) -> Tree:
    return text.tree(language, members_of(form))


def _cids_in(form: bytes, members: dict[str, Any] | None) -> list[str]:
    """The files that a form names, in the order of its members, each once."""
    if b"ipfs" not in form and b"\\u" not in form:
        return []
    return list(dict.fromkeys(match[1] for each in texts_in(members) for match in _ADDRESS.finditer(each)))
