"""What content is, by its first bytes."""

from __future__ import annotations

import codecs

import filetype

HEAD_BYTES = 4_096
UNKNOWN = "application/octet-stream"
TEXT = "text/plain"
HTML = "text/html"
SCRIPT = "text/x-script"

_BOM = b"\xef\xbb\xbf"
_CONTROLS = frozenset(range(32)) - frozenset(b"\t\n\r\f")


def sniff(head: bytes) -> str:
    """The content type of what begins with these bytes; ``application/octet-stream`` where nothing fits.

    Markup of any kind counts as HTML, which is how the least careful reader might take it.
    """
    head = head[:HEAD_BYTES]
    kind = filetype.guess(head) if head else None
    if kind is not None:
        return str(kind.mime)
    if not head or _CONTROLS.intersection(head) or 127 in head:
        return UNKNOWN
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head, final=len(head) < HEAD_BYTES)
    except UnicodeDecodeError:
        return UNKNOWN
    text = head.removeprefix(_BOM).lstrip()
    if text.startswith(b"<"):
        return HTML
    return SCRIPT if text.startswith(b"#!") else TEXT
