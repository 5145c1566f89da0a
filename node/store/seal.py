"""Sealing of values at rest: AES-256-GCM under the node's master key, and the keyed index to look sealed values up.

A sealed value is ``nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)``; its name, which says row and column, is
authenticated with it, so a value moved to another row or column does not open.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from node.errors import SetupError

KEY_BYTES = 32
NONCE_BYTES = 12


class Seal:
    """Seals and opens values under one master key of 32 bytes."""

    def __init__(self, master_key: bytes) -> None:
        self._aead = AESGCM(master_key)
        derived = HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=b"vtrace blind index 1").derive(master_key)
        self._index = HMAC(derived, hashes.SHA256())

    def close(self, name: str, secret: bytes) -> bytes:
        """``secret`` sealed for the row called ``name``."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, secret, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """The secret again; SetupError when the master key or the name is another one."""
        try:
            return self._aead.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError):
            raise SetupError(
                f"the master key does not open {name}: name the key file that this data directory "
                "was made with (--master-key)"
            ) from None

    def opens(self, name: str, sealed: bytes) -> bool:
        """Whether this is the master key that the value was sealed under."""
        try:
            self.open(name, sealed)
        except SetupError:
            return False
        return True

    def index(self, column: str, value: str) -> bytes:
        """The 32 bytes under which a value of ``column`` is found again; without the master key they tell nothing.

        The same value gives the same bytes, so it must have one form only: whoever asks has to normalise it.
        """
        keyed = self._index.copy()
        keyed.update(column.encode() + b"\0" + value.encode("utf-8", "surrogatepass"))
        return keyed.finalize()
