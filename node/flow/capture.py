"""Capturing events of EPCIS: a document's events become circs, all or none, in one transaction of the index.

An event that its caller captured before, by its hash, is told and not recorded again, unless its circ failed since. So
a document whose answer was lost is sent again, and doubles nothing.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from node.clock import Clock
from node.domain.epcis.faults import FAULTS_MAX, Fault, Faults, Faulty
from node.domain.epcis.ids import Epc
from node.domain.epcis.parties import Party
from node.domain.epcis.read import Captured
from node.domain.gs1 import gtin_of
from node.domain.model import CircType
from node.domain.records import User
from node.errors import Reason, Status, VTraceError, invalid
from node.flow.callers import fresh
from node.flow.once import KeyedCall, Once
from node.flow.record import Recorder, check_parties
from node.store import captures
from node.store.db import Store

RPC = "EpcisCapture"
JOBS_KEPT_MAX = 1_000
"""Of one user."""
JOB_KEPT_MICROS = 30 * 86_400 * 1_000_000
SWEEP_ROWS = 64
OF_THE_EVENT = (Status.INVALID_ARGUMENT, Status.NOT_FOUND, Status.PERMISSION_DENIED, Status.FAILED_PRECONDITION)
"""Refusals that say something of the event; others are of the moment, or the node."""

MayRecord = Callable[[User, CircType], None]


@dataclass(frozen=True, slots=True)
class Job:
    """What became of a document. Times are microseconds since 1970; ``number`` orders a user's jobs.

    ``outcome`` has the number of ``events``, those ``recorded`` and the ``duplicates`` (place in the document, eventID,
    transIDs), and the ``errors`` for which nothing was recorded, ``errorsLeftOut`` more of them untold.
    """

    capture_id: str
    created_at: int
    finished_at: int
    success: bool
    outcome: dict[str, Any]
    number: int = 0


class _NotRecorded(Exception):
    """Nothing of the document is to be kept."""

    def __init__(self, errors: list[dict[str, Any]], left_out: int = 0) -> None:
        super().__init__(f"{len(errors)} errors")
        self.errors = errors
        self.left_out = left_out


class Captures:
    """Takes the events of authenticated users. ``submitted`` is told after each commit."""

    def __init__(
        self, store: Store, recorder: Recorder, once: Once, clock: Clock, submitted: Callable[[], None]
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._once = once
        self._clock = clock
        self._submitted = submitted

    def capture(
        self, caller: User, events: Sequence[Captured], may_record: MayRecord, key: str | None, body: bytes
    ) -> Job:
        """Record events in their order, all or none; the job says which. Durable when this returns.

        ``may_record`` raises VTraceError for a kind of circ that is not for the caller. With an idempotency ``key`` the
        same ``body`` gets the same job for 7 days; what could not be recorded leaves its key free.
        """
        begun = self._clock()

        def work() -> Job:
            return self._recorded(fresh(caller), events, may_record, begun)

        try:
            if key is None:
                job = self._store.together(work)
                self._submitted()
                return job
            call = KeyedCall(RPC, f"user {caller.id}", key, caller, Reason.CIRC_ALREADY_EXIST)
            return _job_of(self._once.run(call, body, lambda: _kept(work())))
        except _NotRecorded as fault:
            outcome = _outcome(len(events), errors=fault.errors, left_out=fault.left_out)
            return self._store.together(lambda: self._keep(fresh(caller), begun, False, outcome))

    def job(self, caller: User, capture_id: str) -> Job | None:
        """One of the caller's jobs of the last 30 days."""
        kept = captures.job(caller.id, capture_id)
        return _told(kept) if kept and kept.created_at > self._clock() - JOB_KEPT_MICROS else None

    def jobs(self, caller: User, before: int | None, limit: int) -> list[Job]:
        """The caller's jobs of the last 30 days, newest first; those before the one with a number."""
        since = self._clock() - JOB_KEPT_MICROS
        return [_told(kept) for kept in captures.jobs(caller.id, before, limit) if kept.created_at > since]

    def _recorded(self, caller: User, events: Sequence[Captured], may_record: MayRecord, begun: int) -> Job:
        _check_goods(events)
        recorded: list[dict[str, Any]] = []
        duplicates: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        for event in events:
            digest = _digest(event.hash)
            trans_ids = captures.standing(caller.id, digest)
            try:
                trans_ids = trans_ids or _already(caller, event)
                if trans_ids:
                    duplicates.append(_entry(event, trans_ids))
                    continue
                trans_ids = self._record(caller, event, may_record)
            except VTraceError as fault:
                if fault.status not in OF_THE_EVENT:
                    raise
                errors.append(_error(event, fault))
                continue
            captures.add_event(caller.id, digest, trans_ids)
            recorded.append(_entry(event, trans_ids))
        if errors:
            raise _NotRecorded(errors[:FAULTS_MAX], len(errors[FAULTS_MAX:]))
        return self._keep(caller, begun, True, _outcome(len(events), recorded, duplicates))

    def _record(self, caller: User, event: Captured, may_record: MayRecord) -> list[str]:
        may_record(caller, event.circ_type)
        for party in event.parties:
            check_parties(caller, origin=_username(party), operator="")
        ids = sorted(epc.goods_id for epc in event.epcs)
        made = self._recorder.enrol(caller, event.circ_type, ids, _username(event.to), event.form)
        return [each.trans_id for each in made]

    def _keep(self, caller: User, begun: int, success: bool, outcome: dict[str, Any]) -> Job:
        now = self._clock()
        captures.forget_jobs(caller.id, JOBS_KEPT_MAX - 1, now - JOB_KEPT_MICROS, SWEEP_ROWS)
        job = Job(secrets.token_hex(16), begun, now, success, outcome)
        captures.add_job(job.capture_id, caller.id, begun, now, success, _json(outcome))
        return job


def _already(caller: User, event: Captured) -> list[str]:
    """The circ that an event says it is, if this node has it; INVALID_ARGUMENT if it is another one."""
    found = captures.recorded_as(event.trans_id) if event.trans_id else None
    if event.trans_id is None or found is None:
        return []
    if found != (caller.id, event.circ_type, frozenset(epc.goods_id for epc in event.epcs)):
        raise invalid("vtrace:trans_id", event.trans_id, "that of the caller's own circ of these very goods, or none")
    return [event.trans_id]


def _check_goods(events: Sequence[Captured]) -> None:
    """_NotRecorded unless this node has the goods, under the very GTIN and lot that the events name."""
    known = captures.described({epc.goods_id for event in events for epc in event.epcs})
    gtins: dict[bytes, str | None] = {}
    faults = Faults()
    for event in events:
        for epc in event.epcs:
            if epc.goods_id not in known:
                faults.add(event.index, "epcList", f"goods {epc.goods_id}", "goods that this node has")
                continue
            serial_id, description = known[epc.goods_id]
            if description not in gtins:
                gtins[description] = gtin_of(description)
            _check_names(event, epc, gtins[description], serial_id, faults)
    try:
        faults.refuse_if_any()
    except Faulty as fault:
        raise _NotRecorded([_of_fault(each) for each in fault.faults], fault.left_out) from None


def _check_names(event: Captured, epc: Epc, gtin: str | None, serial_id: int, faults: Faults) -> None:
    if epc.gtin is not None and epc.gtin != gtin:
        want = f"GTIN {gtin}, which their class has" if gtin else "no GTIN, since their class has none"
        faults.add(event.index, "epcList", f"goods {epc.goods_id} with GTIN {epc.gtin}", want)
    if epc.lot is not None and epc.lot != str(serial_id):
        faults.add(event.index, "epcList", f"goods {epc.goods_id} with lot {epc.lot}", f"lot {serial_id}")


def _username(party: Party | None) -> str:
    """The username behind a party; what nobody has is for the recorder to refuse."""
    if party is None:
        return ""
    if party.actor is None:
        return party.username or ""
    return captures.username_of(party.actor) or f"party {party.actor}"


def _error(event: Captured, fault: VTraceError) -> dict[str, Any]:
    is_forbidden = fault.status is Status.PERMISSION_DENIED or fault.reason is Reason.NOT_OWNER
    return {
        "type": f"epcisException:{'SecurityException' if is_forbidden else 'ValidationException'}",
        "title": "The event can't be captured",
        "status": 403 if is_forbidden else 400,
        "detail": f"eventList[{event.index}]: {fault.message}",
        "event": event.index,
        "reason": fault.reason.name,
    }


def _of_fault(fault: Fault) -> dict[str, Any]:
    return {
        "type": "epcisException:ValidationException",
        "title": "The event can't be captured",
        "status": 400,
        "detail": str(fault),
        "event": fault.event,
    }


def _entry(event: Captured, trans_ids: list[str]) -> dict[str, Any]:
    return {"event": event.index, "eventID": event.hash, "transIDs": trans_ids}


def _outcome(
    events: int,
    recorded: Sequence[Any] = (),
    duplicates: Sequence[Any] = (),
    errors: Sequence[Any] = (),
    left_out: int = 0,
) -> dict[str, Any]:
    made = {"events": events, "recorded": list(recorded), "duplicates": list(duplicates), "errors": list(errors)}
    return {**made, "errorsLeftOut": left_out} if left_out else made


def _digest(event_hash: str) -> bytes:
    return bytes.fromhex(event_hash.partition(";")[2].partition("?")[0])


def _kept(job: Job) -> bytes:
    return _json([job.capture_id, job.created_at, job.finished_at, job.success, job.outcome]).encode()


def _job_of(kept: bytes) -> Job:
    return Job(*json.loads(kept))


def _told(kept: captures.KeptJob) -> Job:
    return Job(
        kept.capture_id,
        kept.created_at,
        kept.finished_at,
        kept.success,
        json.loads(kept.outcome),
        kept.number,
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
