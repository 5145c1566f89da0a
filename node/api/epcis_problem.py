"""Answers of EPCIS's HTTP interface, refusals among them: problems (RFC 7807) with the standard's exceptions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from node.api.http import HTTP_STATUS
from node.domain.epcis.faults import Faulty
from node.errors import Status, VTraceError

EXCEPTIONS = {
    400: "ValidationException",
    401: "SecurityException",
    403: "SecurityException",
    404: "NoSuchResourceException",
    406: "NotAcceptableException",
    409: "ResourceAlreadyExistsException",
    413: "CaptureLimitExceededException",
    415: "UnsupportedMediaTypeException",
}
"""HTTP status → the standard's exception; ImplementationException for all others."""

_TITLES = {
    400: "The document can't be captured",
    401: "The caller is not known",
    403: "The caller may not capture",
    404: "There is no such capture",
    405: "There is no such method",
    406: "This version is not spoken here",
    409: "The idempotency key was used",
    413: "The document is too large",
    415: "The document is of another type",
    429: "Too much at once",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back; ``body`` is JSON, or None."""

    status: int
    body: Any = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


def of_faults(faulty: Faulty) -> Answer:
    """All that is wrong with a document."""
    total = len(faulty.faults) + faulty.left_out
    told = [
        {"event": fault.event, "field": fault.field, "value": fault.value, "want": fault.want, "detail": str(fault)}
        for fault in faulty.faults
    ]
    detail = f"{faulty}" + (f"; and {total - 1} more" if total > 1 else "") + ". Nothing was recorded"
    left_out = {"errorsLeftOut": faulty.left_out} if faulty.left_out else {}
    return problem(400, detail, [], errors=told, **left_out)


def of_error(fault: VTraceError, status: int | None = None, *headers: tuple[bytes, bytes]) -> Answer:
    """What the caller is told of a refusal."""
    more = list(headers)
    if fault.status is Status.UNAUTHENTICATED:
        more.append((b"www-authenticate", b'Bearer realm="vtrace"'))
    if fault.retry_seconds is not None:
        more.append((b"retry-after", str(fault.retry_seconds).encode()))
    return problem(status or HTTP_STATUS[fault.status], fault.message, more, reason=fault.reason.name)


def problem(status: int, detail: str, headers: list[tuple[bytes, bytes]] | None = None, **more: Any) -> Answer:
    """A refusal with an HTTP status; ``more`` are members beside the standard's."""
    kind = f"epcisException:{EXCEPTIONS.get(status, 'ImplementationException')}"
    title = _TITLES.get(status, "The node can't do it now")
    return Answer(status, {"type": kind, "title": title, "status": status, "detail": detail, **more}, headers or [])
