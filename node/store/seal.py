"""Sealing of secrets at rest: AES-256-GCM under the node's master key.

A sealed value is ``nonce (12 bytes) ‖ ciphertext ‖ tag (16 bytes)``; its name is authenticated with it,
so a value moved to another row does not open.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from node.errors import SetupError

KEY_BYTES = 32
NONCE_BYTES = 12


class Seal:
    """Seals and opens values under one master key of 32 bytes."""

    def __init__(self, master_key: bytes) -> None:
        self._aead = AESGCM(master_key)

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


def master_key(path: Path, *, make: bool) -> bytes:
    """The master key in ``path`` (64 hex digits); made there with mode 0600 if ``make`` and it is missing."""
    try:
        if make and not path.exists():
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        content = path.read_bytes()
    except OSError as fault:
        raise SetupError(f"master key {path}: {fault.strerror}") from fault
    if mode & 0o077:
        raise SetupError(f"master key {path}: mode {mode:04o} lets others read it; run chmod 600 on it")
    try:
        key = bytes.fromhex(content.decode().strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SetupError(f"master key {path}: want {2 * KEY_BYTES} hex digits")
    return key


def _make(path: Path) -> None:
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
