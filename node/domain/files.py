"""The rules of files: what an uploader may say of one, and how one is served. Pure; the bytes are seen elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from node.domain import bounded_json, limits
from node.domain import cid as cids
from node.errors import Reason, invalid

PAIRS_MAX = 32
KEY_LENGTH_MAX = 64
VALUE_LENGTH_MAX = 1_024
FILENAME_BYTES_MAX = 255

OCTETS = "application/octet-stream"
TEXT_UTF8 = "text/plain; charset=utf-8"

_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,62}/[a-z0-9][a-z0-9!#$&^_.+-]{0,62}", re.ASCII)
# Up to the CID no part of an address is looked at: which gateway stands in it makes no difference.
_ADDRESS = re.compile(
    r"(?:ipfs://|https?://[^\s\"'<>/]{1,255}/(?:[^\s\"'<>/]{1,255}/){0,8}ipfs/)(b[a-z2-7]{58})(?![a-z0-9])"
)
_DRIVE = re.compile(r"[A-Za-z]:")
_SAME_TYPE = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "audio/wav": "audio/x-wav",
    "audio/wave": "audio/x-wav",
    "audio/vnd.wave": "audio/x-wav",
    "audio/flac": "audio/x-flac",
    "audio/mp3": "audio/mpeg",
    "application/ogg": "audio/ogg",
    "video/ogg": "audio/ogg",
    "audio/mp4": "video/mp4",
    "audio/webm": "video/webm",
}
_INLINE = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/avif",
        "application/pdf",
        "text/plain",
        "audio/mpeg",
        "audio/ogg",
        "audio/x-wav",
        "audio/x-flac",
        "audio/mp4",
        "video/mp4",
        "video/webm",
    }
)
"""What a browser may show in place. Nothing of it can run a script."""


@dataclass(frozen=True, slots=True)
class Described:
    """What an uploader says of a file."""

    filename: str = ""
    content_type: str = ""
    is_base64: bool = False
    own: tuple[tuple[str, str], ...] = field(default=())


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What the index knows of a file; ``sniffed`` is its type by its bytes, ``declared`` by its uploader."""

    cid: str
    size: int
    sniffed: str
    declared: str
    filename: str
    uploader: str
    own: tuple[tuple[str, str], ...]
    created_at: int


def described(pairs: Iterable[tuple[str, str]]) -> Described:
    """The metadata of an upload, or the error that names the pair that is wrong."""
    known: dict[str, str] = {}
    own: dict[str, str] = {}
    for number, (key, value) in enumerate(pairs):
        if number >= PAIRS_MAX:
            raise invalid("mds", f"more than {PAIRS_MAX} pairs", f"at most {PAIRS_MAX} pairs")
        limits.name("mds.key", key, Reason.INVALID_PARAMS, KEY_LENGTH_MAX)
        name = f"mds[{key}]"
        limits.optional_name(name, value, Reason.INVALID_PARAMS, VALUE_LENGTH_MAX)
        folded = key.lower()
        place = known if folded in ("filename", "content-type", "encoding") else own
        if folded in known or key in own:
            raise invalid(name, value, "each key once")
        place[folded if place is known else key] = value
    return Described(
        filename=_filename(known.get("filename", "")),
        content_type=_content_type(known.get("content-type", "")),
        is_base64=_is_base64(known.get("encoding", "")),
        own=tuple(own.items()),
    )


def _filename(value: str) -> str:
    """A name for people, never a path: it is remembered and told to browsers, and opens nothing here."""
    plain = unquote(value)
    if any("/" in each or "\\" in each or each in (".", "..") or _DRIVE.match(each) for each in (value, plain)):
        raise invalid("mds[filename]", value, "a name without / and \\, not a path")
    if len(value.encode()) > FILENAME_BYTES_MAX:
        raise invalid("mds[filename]", f"{len(value.encode())} bytes", f"at most {FILENAME_BYTES_MAX} bytes of UTF-8")
    return value


def _content_type(value: str) -> str:
    """``type/subtype`` in lower case; parameters are left away."""
    bare = value.partition(";")[0].strip().lower()
    if value and not _TYPE.fullmatch(bare):
        raise invalid("mds[content-type]", value, "a content type such as image/png")
    return bare


def _is_base64(value: str) -> bool:
    if value.lower() not in ("", "base64", "identity"):
        raise invalid("mds[encoding]", value, "base64, identity, or no such pair")
    return value.lower() == "base64"


def named_in(form: bytes) -> tuple[str, ...]:
    """The CIDs of the files that a form names, as ``ipfs://CID`` or ``http(s)://…/ipfs/CID`` in any text of it.

    In the order of the form's members, each once. Of what is no form, nothing.
    """
    if b"ipfs" not in form and b"\\u" not in form:
        return ()
    try:
        parsed = bounded_json.loads(form, parse_int=str, parse_float=str)
    except ValueError:
        return ()
    found: dict[str, None] = {}
    for text in texts_in(parsed):
        for match in _ADDRESS.finditer(text):
            with suppress(cids.NoCid):
                cids.parse(match[1])
                found[match[1]] = None
    return tuple(found)


def texts_in(value: Any) -> Iterator[str]:
    """The strings of a JSON value, in the order in which they stand, without the names of members."""
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict):
            waiting.extend(reversed(inner.values()))
        elif isinstance(inner, list):
            waiting.extend(reversed(inner))
        elif isinstance(inner, str):
            yield inner


@dataclass(frozen=True, slots=True)
class Served:
    """How a file is served: its content type, and whether a browser may show it in place."""

    content_type: str
    inline: bool


def served(sniffed: str, declared: str) -> Served:
    """By what the bytes are, never by what was declared.

    In place only what stands in the short list and was not declared to be something else; all other is a download
    of plain octets.
    """
    if sniffed not in _INLINE:
        return Served(OCTETS, inline=False)
    agrees = not declared or declared == OCTETS or _same(declared) == sniffed
    if sniffed == "text/plain":
        agrees = agrees or declared.startswith("text/") or declared.endswith(("json", "yaml"))
        return Served(TEXT_UTF8, inline=agrees)
    return Served(sniffed, inline=agrees)


def _same(declared: str) -> str:
    return _SAME_TYPE.get(declared, declared)
