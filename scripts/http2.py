"""HTTP/2 as far as a call of gRPC needs it: frames (RFC 9113, 4.1) and header blocks (RFC 7541) as bytes."""

from __future__ import annotations

import struct
from collections.abc import Mapping

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
FRAME_BYTES_MAX = 16_384
WINDOW_BYTES = 65_535
"""How much may be sent over a new connection, or stream, before the other side allows more."""
_FIRST_OF_OWN = 62
"""Where the table that a connection's own header fields fill begins, the newest first (RFC 7541, 2.3.3)."""


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def call_fields(path: str, token: str | None) -> dict[str, str]:
    """The header fields of a call; ``path`` is /SERVICE/RPC."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "te": "trailers",
        "content-type": "application/grpc",
    }
    return fields | ({"authorization": f"Bearer {token}"} if token else {})


def literals(fields: Mapping[str, str], remembered: bool = False) -> bytes:
    """A header block that says every field in full (RFC 7541, 6.2); ``remembered`` by the connection, or not."""
    kind = b"\x40" if remembered else b"\x00"
    return b"".join(kind + _text(name) + _text(value) for name, value in fields.items())


def again(fields: Mapping[str, str]) -> bytes:
    """The header block that names the fields which ``literals(…, remembered=True)`` said before (RFC 7541, 6.1)."""
    last = _FIRST_OF_OWN + len(fields) - 1
    return bytes(0x80 | (last - place) for place in range(len(fields)))


def message(content: bytes) -> bytes:
    """A message of gRPC, not compressed."""
    return b"\x00" + struct.pack(">I", len(content)) + content


def _text(text: str) -> bytes:
    """A string literal: its length in 7 bits, what is more behind it in groups of 7 (RFC 7541, 5.1)."""
    content, made = text.encode(), bytearray()
    if len(content) < 0x7F:
        return bytes([len(content)]) + content
    made.append(0x7F)
    left = len(content) - 0x7F
    while left > 0x7F:
        made.append(left & 0x7F | 0x80)
        left >>= 7
    made.append(left)
    return bytes(made) + content
