"""EPCIS 2.0's capture interface over HTTP: ``/epcis/capture`` and ``/epcis/capture/{captureID}``, as an ASGI app.

A document goes the way of BatchCirc: the same tokens, roles, keys and limits. Refusals are problems (RFC 7807).
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent import futures
from typing import Any

from node import __version__
from node.api.call import key_in
from node.api.dispatch import Door, guarded
from node.api.epcis_problem import Answer, of_error, of_faults, problem
from node.api.http import ANSWER_SECONDS_MAX
from node.api.http_request import Receive, Refused, Request, Scope
from node.api.http_upload import media_type
from node.api.transcode import parameters
from node.api.witness import Seen, Witness
from node.domain.access import ACCESS, CIRCS, hold_role
from node.domain.epcis.document import DOCUMENT_BYTES_MAX, EVENTS_MAX, VERSION, events_of, parse
from node.domain.epcis.faults import Faulty, TooLarge
from node.domain.epcis.read import read
from node.domain.form import rfc3339
from node.domain.model import CircType
from node.domain.records import User
from node.errors import Reason, Status, VTraceError, invalid, shown
from node.faults import point
from node.flow.capture import Captures, Job
from node.flow.rates import TooOften
from node.request_id import HEADER, working_for

PATH = "/epcis/capture"
NAME = "capture"
ROW = ACCESS["BatchCirc"]
THREADS = 4
REQUESTS_MAX = 32
PARSED_AT_ONCE_MAX = 2
RETRY_SECONDS = 1
PAGE_DEFAULT, PAGE_MAX = 30, 100
NUMBER_DIGITS_MAX = 18
ROLLBACK = "rollback"
TYPES = ("application/json", "application/ld+json")
VERSIONS = {b"gs1-epcis-version": "GS1-EPCIS-Version", b"gs1-cbv-version": "GS1-CBV-Version"}
_VERSION = re.compile(rf"{re.escape(VERSION)}(\.[0-9])?")
_CAPTURE_ID = re.compile(r"[0-9a-f]{32}")

_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    *((f"gs1-{of}-{what}".encode(), VERSION.encode()) for of in ("epcis", "cbv") for what in ("version", "min", "max")),
    (b"gs1-epc-format", b"Never_Translates"),
    (b"gs1-vendor-version", __version__.encode()),
    (b"gs1-epcis-capture-limit", str(EVENTS_MAX).encode()),
    (b"gs1-epcis-capture-file-size-limit", str(DOCUMENT_BYTES_MAX).encode()),
    (b"gs1-capture-error-behaviour", ROLLBACK.encode()),
]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

# 4 MiB of JSON can be 100 MB of objects, which live until the circs are made of them.
_parsing = threading.BoundedSemaphore(PARSED_AT_ONCE_MAX)


class CaptureApi:
    """The ASGI application. ``base`` is where the private URNs of the node's contract begin."""

    def __init__(self, captures: Captures, door: Door, base: str, witness: Witness) -> None:
        self._captures = captures
        self._door = door
        self._base = base
        self._witness = witness
        self._places = threading.BoundedSemaphore(REQUESTS_MAX)
        self._threads = futures.ThreadPoolExecutor(THREADS, thread_name_prefix="epcis-capture")
        self._running: set[futures.Future[Answer]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One HTTP request."""
        request = Request(scope, receive)
        answer = await self._within_bounds(request)
        is_problem = answer.status >= 400
        body = b"" if answer.body is None else _json(answer.body)
        headers = [*_HEADERS, (HEADER.encode(), request.id.encode()), *answer.headers]
        if answer.status != 204:
            kind = b"application/problem+json" if is_problem else b"application/json"
            headers += [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        if not request.ended:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def stop(self, grace_seconds: float) -> None:
        """Begin no more, and wait for what is under way within the grace."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        futures.wait(set(self._running), grace_seconds)

    async def _within_bounds(self, request: Request) -> Answer:
        if not self._places.acquire(blocking=False):
            busy = f"{REQUESTS_MAX} captures are under way: try again in a moment"
            return of_error(_not_now(busy, Status.RESOURCE_EXHAUSTED))
        try:
            return await self._answer(request)
        except VTraceError as fault:
            return of_error(fault)
        except Refused as refused:
            return of_error(refused.fault, refused.status, *refused.headers)
        finally:
            self._places.release()

    async def _answer(self, request: Request) -> Answer:
        capture_id = request.raw_path.removeprefix(PATH).removeprefix("/")
        allowed = ["GET", "OPTIONS"] if capture_id else ["GET", "OPTIONS", "POST"]
        if request.method not in allowed:
            message = f"{shown(request.method)} {PATH}: want {', '.join(allowed)}"
            fault = VTraceError(Reason.SERVICE_OFFLINE, message, status=Status.UNIMPLEMENTED)
            raise Refused(405, fault, (b"allow", ", ".join(allowed).encode()))
        if request.method == "OPTIONS":
            return Answer(204, headers=[(b"allow", ", ".join(allowed).encode())])
        _hold_versions(request)
        if request.method == "POST":
            _hold_behaviour(request)
            _hold_type(request)
            body = await request.body()
            return await self._worked(request, lambda seen: self._capture(body, request, seen))
        asked = _page(request.query) if not capture_id else (None, 0)
        return await self._worked(request, lambda seen: self._shown(request, capture_id, *asked, seen))

    async def _worked(self, request: Request, work: Callable[[Seen], Answer]) -> Answer:
        seen = self._door.enter(request.peer, request.metadata(), ROW, request.id)

        def witnessed() -> Answer:
            try:
                with working_for(request.id):
                    return guarded(NAME, Reason.CREATE_CIRC_FAILED, lambda: work(seen))
            except TooOften:
                raise
            except VTraceError as fault:
                self._witness.refused(NAME, seen, fault)
                raise

        begun = self._threads.submit(witnessed)
        self._running.add(begun)
        begun.add_done_callback(self._running.discard)
        try:
            return await asyncio.wait_for(asyncio.wrap_future(begun), ANSWER_SECONDS_MAX)
        except TimeoutError:
            late = f"no answer within {ANSWER_SECONDS_MAX} s; it may still be done: send the same again, which is safe"
            raise _not_now(late, Status.DEADLINE_EXCEEDED) from None

    def _capture(self, body: bytes, request: Request, seen: Seen) -> Answer:
        metadata = request.metadata()
        caller = self._door.session(metadata, request.certificate, ROW, NAME, seen).user
        key = key_in(metadata)
        try:
            with _parsing:
                events = read(events_of(parse(body)), self._base)
        except Faulty as faulty:
            self._witness.refused(NAME, seen, _not_taken("has faults"))
            return of_faults(faulty)
        except TooLarge as fault:
            self._witness.refused(NAME, seen, _not_taken("is too large"))
            return problem(413, str(fault))
        job = self._captures.capture(caller, events, _may_record, key, body)
        point("committed")
        self._witness.captured(seen, job)
        return Answer(202, _job(job), [(b"location", f"{PATH}/{job.capture_id}".encode())])

    def _shown(self, request: Request, capture_id: str, before: int | None, limit: int, seen: Seen) -> Answer:
        caller = self._door.session(request.metadata(), request.certificate, ROW, NAME, seen).user
        if not capture_id:
            jobs = self._captures.jobs(caller, before, limit + 1)
            link = (
                f'<{PATH}?perPage={limit}&nextPageToken={jobs[limit - 1].number}>; rel="next"' if jobs[limit:] else ""
            )
            return Answer(200, [_brief(job) for job in jobs[:limit]], [(b"link", link.encode())] if link else [])
        job = self._captures.job(caller, capture_id) if _CAPTURE_ID.fullmatch(capture_id) else None
        if job is None:
            message = f"captureID: {shown(capture_id)}, want that of one of the caller's captures of the last 30 days"
            raise VTraceError(Reason.CIRC_NOT_FOUND, message)
        return Answer(200, _job(job))


def _may_record(caller: User, circ_type: CircType) -> None:
    hold_role(CIRCS[circ_type], caller, circ_type.name.lower())


def _brief(job: Job) -> dict[str, Any]:
    """A job as the list has it."""
    return {
        "captureID": job.capture_id,
        "createdAt": rfc3339(job.created_at),
        "finishedAt": rfc3339(job.finished_at),
        "running": False,
        "success": job.success,
        "captureErrorBehaviour": ROLLBACK,
        "errors": job.outcome["errors"],
    }


def _job(job: Job) -> dict[str, Any]:
    return {**_brief(job), **job.outcome}


def _hold_versions(request: Request) -> None:
    for name, spelled in VERSIONS.items():
        given = request.header(name)
        if given and not _VERSION.fullmatch(given):
            raise Refused(406, invalid(f"header {spelled}", given, VERSION))
    accepted = request.header(b"accept")
    ranges = [one.partition(";")[0].strip().lower() for one in accepted.split(",")]
    if accepted and not any(one in (*TYPES, "application/*", "*/*") for one in ranges):
        raise Refused(406, invalid("header Accept", accepted, TYPES[0]))


def _hold_behaviour(request: Request) -> None:
    given = request.header(b"gs1-capture-error-behaviour")
    if given not in ("", ROLLBACK):
        raise invalid(
            "header GS1-Capture-Error-Behaviour", given, f"{ROLLBACK}: a document is captured whole, or not at all"
        )


def _hold_type(request: Request) -> None:
    header = request.header(b"content-type")
    kind, more = media_type(header)
    if kind not in TYPES or more.get("charset", "utf-8").lower() != "utf-8":
        raise Refused(415, invalid("content-type", header or "missing", " or ".join(TYPES) + ", in UTF-8"))


def _page(query: bytes) -> tuple[int | None, int]:
    """Where a page of jobs begins, and how many it has."""
    given: dict[str, int] = {}
    for name, value in parameters(query):
        if name not in ("perPage", "nextPageToken") or name in given:
            raise invalid(shown(name), "unknown or said twice", "perPage and nextPageToken, each once")
        if not (value.isascii() and value.isdigit() and len(value) <= NUMBER_DIGITS_MAX):
            raise invalid(name, value, "a whole number" if name == "perPage" else "what the header Link gave")
        given[name] = int(value)
    limit = given.get("perPage", PAGE_DEFAULT)
    if not 1 <= limit <= PAGE_MAX:
        raise invalid("perPage", limit, f"1 to {PAGE_MAX}")
    return given.get("nextPageToken"), limit


def _not_taken(why: str) -> VTraceError:
    return invalid("body", f"a document that {why}", "one that can be captured")


def _not_now(message: str, status: Status) -> VTraceError:
    return VTraceError(Reason.SERVICE_OFFLINE, message, status=status, retry_seconds=RETRY_SECONDS)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
