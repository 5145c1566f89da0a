"""Files over HTTP at ``GET /ipfs/{cid}``: whole or one range, never to be run by a browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from node.domain import cid as cids
from node.domain.files import FileRecord, Served, served
from node.flow.files import Files, Unreadable

THREADS = 4
RETRY_SECONDS = 5
FOR_EVER = "public, max-age=31536000, immutable"
# Nothing in a file may run, load, or act as this site. A PDF is shown by the browser's own viewer, which refuses to
# start in a sandbox.
CSP = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; form-action 'none'"
CSP_SANDBOX = f"{CSP}; sandbox"

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII)
_PLAIN = re.compile(r"[^A-Za-z0-9 ._-]", re.ASCII)


class NoSuchRange(Exception):
    """A range that has no byte of the file."""


class FileEndpoint:
    """Serves the files of the node. A CID names the bytes, so an answer holds for ever."""

    def __init__(self, files: Files) -> None:
        self._files = files
        # Strangers' downloads must leave the processor to the partners' records.
        self._threads = CapacityLimiter(THREADS)

    async def answer(self, request: Request) -> Response:
        """One HTTP request."""
        cid = request.path_params["cid"]
        try:
            cids.parse(cid)
        except cids.NoCid as fault:
            return _refusal(400, f"{cid[:80]}: {fault}")
        record = await to_thread.run_sync(self._files.find, cid, limiter=self._threads)
        if record is None:
            return _refusal(404, f"{cid} is not known here")
        headers = _headers(record)
        if _names(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers={name: headers[name] for name in ("ETag", "Cache-Control")})
        try:
            start, end, status = _asked(request, record.size, headers["ETag"])
        except NoSuchRange:
            return _refusal(416, f"want a range of {record.size} bytes", {"Content-Range": f"bytes */{record.size}"})
        headers["Content-Length"] = str(end - start)
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{record.size}"
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        return await self._stream(record, start, end, status, headers)

    async def _stream(self, record: FileRecord, start: int, end: int, status: int, headers: dict[str, str]) -> Response:
        """The bytes, the first of them read before anything is promised."""
        pieces = self._files.read(record.cid, start, end)
        try:
            first = await self._next(pieces)
        except Unreadable as fault:
            if fault.later:
                return _refusal(503, str(fault), {"Retry-After": str(RETRY_SECONDS)})
            return _refusal(500, str(fault))
        return StreamingResponse(self._pieces(first, pieces), status_code=status, headers=headers)

    async def _pieces(self, first: bytes | None, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
        """A fault in the middle ends the connection before the promised length, which every client notices."""
        piece = first
        while piece is not None:
            if piece:
                yield piece
            piece = await self._next(pieces)

    async def _next(self, pieces: Iterator[bytes]) -> bytes | None:
        return await to_thread.run_sync(next, pieces, None, limiter=self._threads)


def _headers(record: FileRecord) -> dict[str, str]:
    how = served(record.sniffed, record.declared)
    return {
        "Content-Type": how.content_type,
        "Content-Disposition": disposition(record, how),
        "ETag": f'"{record.cid}"',
        "Cache-Control": FOR_EVER,
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": CSP if how.content_type == "application/pdf" else CSP_SANDBOX,
    }


def disposition(record: FileRecord, how: Served) -> str:
    """Content-Disposition as RFC 6266 has it: a plain name for old clients, the true one beside it."""
    kind, name = "inline" if how.inline else "attachment", record.filename or record.cid
    plain = _PLAIN.sub("_", name)
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{kind}; filename="{plain}"{exact}'


def _names(header: str | None, etag: str) -> bool:
    """Whether If-None-Match names this file."""
    return header is not None and any(one.strip().removeprefix("W/") in (etag, "*") for one in header.split(","))


def _asked(request: Request, size: int, etag: str) -> tuple[int, int, int]:
    """Start, end and status: one range is honoured, several or malformed ones are answered with the whole."""
    whole = 0, size, 200
    header = request.headers.get("range")
    if header is None or request.method != "GET" or request.headers.get("if-range", etag) != etag:
        return whole
    found = _RANGE.fullmatch(header.replace(" ", ""))
    if found is None or not (found[1] or found[2]):
        return whole
    if found[1]:
        start = int(found[1])
        last = int(found[2]) if found[2] else size - 1
        if found[2] and last < start:
            return whole
    else:
        start, last = max(size - int(found[2]), 0), size - 1
    if start >= size or (not found[1] and int(found[2]) == 0):
        raise NoSuchRange
    return start, min(last + 1, size), 206


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(
        {"error": message},
        status_code=status,
        headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", **(headers or {})},
    )
