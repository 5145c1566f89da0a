"""The rpc of files: Upload."""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from node.api.call import Call
from node.api.streams import BrokenStream, Incoming
from node.domain.files import Described, FileRecord, described
from node.domain.records import User
from node.errors import Reason, Status, VTraceError, invalid
from node.flow.files import Broken, Files
from node.wire.vtrace.v1 import service_pb2 as wire

UPLOADS_MAX = 8


class FilesServicer:
    """Servicer of the rpc about files. ``base_url`` is where the node's files are served."""

    failed = Reason.SERVICE_OFFLINE
    duplicate = Reason.ENTRY_DUPLICATE

    def __init__(self, files: Files, base_url: Callable[[], str]) -> None:
        self._files = files
        self._base_url = base_url
        # An upload holds a thread of the server for as long as its caller takes; records must not wait for it.
        self._places = threading.BoundedSemaphore(UPLOADS_MAX)

    def Upload(self, caller: User, stream: Incoming, call: Call) -> wire.UploadResponse:
        """Keep a file under its CID."""
        if not self._places.acquire(blocking=False):
            raise VTraceError(
                Reason.SERVICE_OFFLINE,
                f"{UPLOADS_MAX} uploads are under way: try again in a moment",
                status=Status.RESOURCE_EXHAUSTED,
                retry_seconds=1,
            )
        try:
            messages = iter(stream)
            first = next(messages, None)
            if first is None:
                raise invalid("content", "no message", "at least one message; its content may be empty")
            said = described((pair.key, pair.value) for pair in first.mds)
            content = _contents(first, messages)
            return self._files.upload(
                caller, said, _decoded(content, said), stream.is_there, partial(self._remembered, call)
            )
        except (Broken, BrokenStream) as fault:
            raise VTraceError(
                Reason.INVALID_PARAMS, "stream: broken before its end", status=Status.CANCELLED
            ) from fault
        finally:
            self._places.release()

    def _remembered(self, call: Call, record: FileRecord, remember: Callable[[], None]) -> wire.UploadResponse:
        def work() -> wire.UploadResponse:
            remember()
            return wire.UploadResponse(url=f"{self._base_url()}/ipfs/{record.cid}")

        # However the stream was cut: the same file with the same description is the same request.
        said = json.dumps([record.cid, record.filename, record.declared, record.own])
        return call.once(work, request=said.encode())


def _contents(first: wire.UploadRequest, others: Iterable[wire.UploadRequest]) -> Iterator[bytes]:
    yield first.content
    for message in others:
        if message.mds:
            raise invalid("mds", f"{len(message.mds)} pairs in a later message", "metadata in the first message only")
        content = message.content
        del message
        yield content


def _decoded(content: Iterable[bytes], said: Described) -> Iterable[bytes]:
    return _from_base64(content) if said.is_base64 else content


def _from_base64(content: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of one base64 text (RFC 4648, line breaks allowed) that may be cut anywhere."""
    waiting, ended = b"", False
    for piece in content:
        text = waiting + piece.translate(None, b"\r\n")
        whole = len(text) & ~3
        text, waiting = text[:whole], text[whole:]
        if text:
            if ended:
                raise _no_base64("something after its end")
            ended = text.endswith(b"=")
            try:
                yield base64.b64decode(text, validate=True)
            except binascii.Error as fault:
                raise _no_base64(str(fault)) from fault
    if waiting:
        raise _no_base64(f"{len(waiting)} characters too many or too few")


def _no_base64(what: str) -> VTraceError:
    return invalid("content", what, "base64, as mds[encoding] says")
