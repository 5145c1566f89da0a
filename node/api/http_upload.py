"""What a client streams over HTTP, as messages: a file as it is, a form with a file, or a JSON array of messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from email.message import Message as Header
from typing import Any

from multipart import MultipartError, MultipartSegment, PushMultipartParser

from node.api import protojson
from node.errors import invalid
from node.wire.vtrace.v1 import service_pb2 as wire

FORM, JSON = "multipart/form-data", "application/json"
UNTYPED = ("", "application/octet-stream", "application/x-www-form-urlencoded")
"""Types that clients put there by themselves and that say nothing of a file."""

TYPE_LENGTH_MAX = 1_000
FIELDS_MAX = 33
FIELD_BYTES_MAX = 16 * 1024

Pieces = Callable[[], Iterator[bytes]]


def media_type(header: str) -> tuple[str, dict[str, str]]:
    """A Content-Type in lower case, without its parameters, and these by name; INVALID_ARGUMENT for a long one."""
    if len(header) > TYPE_LENGTH_MAX:
        raise invalid("content-type", header, f"at most {TYPE_LENGTH_MAX} characters")
    parsed = Header()
    parsed["content-type"] = header
    given = parsed.get_params(failobj=[]) or []
    name = given[0][0].strip().lower() if given else ""
    return name, {key.lower(): value for key, value in given[1:]}


def json_array(message_class: Any, pieces: Iterator[bytes], bytes_max: int) -> Iterator[Any]:
    """The messages of a JSON array of at most ``bytes_max`` bytes."""
    body = bytearray()
    for piece in pieces:
        body += piece
        if len(body) > bytes_max:
            raise invalid("body", f"more than {bytes_max} bytes", f"at most {bytes_max}, or the file as it is")
    given = protojson.parse(bytes(body))
    if not isinstance(given, list):
        raise invalid("body", "not an array", f"an array of {message_class.DESCRIPTOR.full_name}")
    for index, one in enumerate(given):
        message = message_class()
        protojson.fill(message, one, f"[{index}]")
        yield message


def plain(pieces: Iterator[bytes], declared: str, said: Iterable[tuple[str, str]]) -> Iterator[wire.UploadRequest]:
    """A file as it is, ``declared`` of a type; what else is known of it comes as ``said``."""
    pairs = list(said)
    if declared not in UNTYPED and "content-type" not in dict(pairs):
        pairs.append(("content-type", declared))
    yield _first(pairs)
    for piece in pieces:
        yield wire.UploadRequest(content=piece)


def form(pieces: Iterator[bytes], boundary: str, said: Iterable[tuple[str, str]]) -> Iterator[wire.UploadRequest]:
    """The file of a form; the fields before it are what is known of it."""
    pairs, is_there, field = list(said), False, ""
    value: bytearray | None = None
    try:
        parser = PushMultipartParser(boundary, max_segment_count=FIELDS_MAX, strict=True)
        for event in _events(parser, pieces):
            if isinstance(event, MultipartSegment):
                if is_there:
                    raise invalid(event.name or "body", "after the file", "one file, and it last")
                field, value = event.name or "", None if event.filename is not None else bytearray()
                if value is None:
                    is_there = True
                    yield _first([*pairs, *_of_file(event, dict(pairs))])
            elif event is None:
                if value is not None:
                    pairs.append((field, _text(field, bytes(value))))
            elif value is None:
                yield wire.UploadRequest(content=event)
            else:
                value += event
                if len(value) > FIELD_BYTES_MAX:
                    raise invalid(field, "long", f"at most {FIELD_BYTES_MAX} bytes; a file needs a filename")
    except MultipartError as fault:
        raise invalid("body", str(fault), FORM) from None
    if not is_there:
        raise invalid("body", "a form without a file", "a part with a filename")


def _events(parser: PushMultipartParser, pieces: Iterator[bytes]) -> Iterator[Any]:
    with parser:
        for piece in pieces:
            if piece:
                yield from parser.parse(piece)


def _of_file(part: MultipartSegment, said: dict[str, str]) -> Iterator[tuple[str, str]]:
    if part.filename and "filename" not in said:
        yield "filename", part.filename
    if part.content_type and part.content_type not in UNTYPED and "content-type" not in said:
        yield "content-type", part.content_type


def _first(pairs: list[tuple[str, str]]) -> wire.UploadRequest:
    message = wire.UploadRequest()
    for key, value in pairs:
        message.mds.add(key=key, value=value)
    return message


def _text(field: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise invalid(field, "bytes", "UTF-8") from None
