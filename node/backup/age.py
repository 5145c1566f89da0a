"""The age format (age-encryption.org/v1) with a passphrase: what is written can't be read, changed or cut unseen.

A file key of its own is wrapped under the passphrase by scrypt. The content follows in chunks of 64 KiB, each
encrypted and authenticated with its number by ChaCha20-Poly1305, the last one marked as the last.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import secrets
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import constant_time, hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

CHUNK_BYTES = 64 * 1024
TAG_BYTES = 16
KEY_BYTES = 32
FILE_KEY_BYTES = 16
SALT_BYTES = 16
PAYLOAD_NONCE_BYTES = 16
WORK = 18
"""log2 of scrypt's N: a second, and 256 MiB, for each guess."""
WORK_MAX = 20
LINE_BYTES_MAX = 128
_VERSION = b"age-encryption.org/v1"
_LABEL = b"age-encryption.org/v1/scrypt"
_NO_NONCE = bytes(12)
_STANZA = re.compile(rb"-> scrypt ([A-Za-z0-9+/]{22}) ([1-9][0-9]?)")


class Unreadable(Exception):
    """The file is none of this format, or damaged, or the passphrase is another one; the message says which."""


class Writer(io.RawIOBase):
    """Encrypts what is written into ``out``; nothing of it can be read before ``finish``."""

    def __init__(self, out: IO[bytes], passphrase: str, work: int = WORK) -> None:
        file_key, salt, nonce = (secrets.token_bytes(n) for n in (FILE_KEY_BYTES, SALT_BYTES, PAYLOAD_NONCE_BYTES))
        wrapped = ChaCha20Poly1305(_wrapping_key(passphrase, salt, work)).encrypt(_NO_NONCE, file_key, None)
        header = b"%s\n-> scrypt %s %d\n%s\n---" % (_VERSION, _base64(salt), work, _base64(wrapped))
        out.write(header + b" " + _base64(_mac(file_key, header)) + b"\n" + nonce)
        self._out = out
        self._aead = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        self._number = 0
        self._held = bytearray()

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: object) -> int:
        """Take bytes; whole chunks are written when it is clear that they are not the last."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        self._held += view
        at = 0
        while len(self._held) - at > CHUNK_BYTES:
            self._put(bytes(self._held[at : at + CHUNK_BYTES]), is_last=False)
            at += CHUNK_BYTES
        del self._held[:at]
        return len(view)

    def finish(self) -> None:
        """Write the last chunk. What was not finished is seen to be cut."""
        self._put(bytes(self._held), is_last=True)
        self._held.clear()

    def _put(self, chunk: bytes, *, is_last: bool) -> None:
        self._out.write(self._aead.encrypt(_nonce(self._number, is_last=is_last), chunk, None))
        self._number += 1


class Reader(io.RawIOBase):
    """The content of ``source``. Unreadable, from any read, where it is not what was written."""

    def __init__(self, source: IO[bytes], passphrase: str) -> None:
        self._source = source
        file_key = self._open_header(passphrase)
        nonce = source.read(PAYLOAD_NONCE_BYTES)
        self._aead = ChaCha20Poly1305(_derived(file_key, nonce, b"payload"))
        self._number = 0
        self._ahead = source.read(CHUNK_BYTES + TAG_BYTES)
        self._left = memoryview(b"")
        self.is_at_end = False
        """Whether the last chunk was read: then nothing is missing."""

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int | None = -1) -> bytes:
        """``size`` bytes, fewer only at the end."""
        found = bytearray()
        while size is None or size < 0 or len(found) < size:
            if not self._left:
                if self.is_at_end:
                    break
                self._left = memoryview(self._next())
            part = self._left if size is None or size < 0 else self._left[: size - len(found)]
            found += part
            self._left = self._left[len(part) :]
        return bytes(found)

    def _next(self) -> bytes:
        sealed, self._ahead = self._ahead, self._source.read(CHUNK_BYTES + TAG_BYTES)
        is_last = not self._ahead
        try:
            chunk = self._aead.decrypt(_nonce(self._number, is_last=is_last), sealed, None)
        except (InvalidTag, ValueError):
            raise Unreadable(f"damaged, or cut, at chunk {self._number}") from None
        self._number += 1
        self.is_at_end = is_last
        return chunk

    def _open_header(self, passphrase: str) -> bytes:
        lines = [self._source.readline(LINE_BYTES_MAX) for _ in range(4)]
        version, stanza, body, end = (line.removesuffix(b"\n") for line in lines)
        found = _STANZA.fullmatch(stanza)
        if version != _VERSION or not found or not end.startswith(b"--- "):
            raise Unreadable("not a file encrypted with a passphrase in the age format")
        work = int(found[2])
        if work > WORK_MAX:
            raise Unreadable(f"scrypt's work is 2^{work}, want at most 2^{WORK_MAX}")
        try:
            salt, wrapped, mac = _bytes(found[1]), _bytes(body), _bytes(end[4:])
            file_key = ChaCha20Poly1305(_wrapping_key(passphrase, salt, work)).decrypt(_NO_NONCE, wrapped, None)
        except (InvalidTag, ValueError):
            raise Unreadable("the passphrase is another one, or the file is damaged at its beginning") from None
        if not constant_time.bytes_eq(mac, _mac(file_key, b"\n".join((version, stanza, body, b"---")))):
            raise Unreadable("damaged at its beginning")
        return file_key


def _wrapping_key(passphrase: str, salt: bytes, work: int) -> bytes:
    return Scrypt(_LABEL + salt, KEY_BYTES, n=2**work, r=8, p=1).derive(passphrase.encode())


def _derived(key: bytes, salt: bytes | None, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=salt, info=info).derive(key)


def _mac(file_key: bytes, header: bytes) -> bytes:
    made = HMAC(_derived(file_key, None, b"header"), hashes.SHA256())
    made.update(header)
    return made.finalize()


def _nonce(number: int, *, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + (b"\x01" if is_last else b"\x00")


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")


def _bytes(text: bytes) -> bytes:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error as fault:
        raise ValueError(str(fault)) from fault
