"""Where the master key comes from: a file, a text of the environment, or what a command prints. Never a log.

Wherever it comes from, it is written as 64 hex digits or as base64 of 32 bytes.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import secrets
import select
import signal
import stat
import subprocess  # nosec B404: one command, the operator's own
import time
from collections.abc import Sequence
from pathlib import Path

from node.errors import SetupError
from node.store.seal import KEY_BYTES

TEXT_BYTES_MAX = 1_024
COMMAND_SECONDS_MAX = 30.0
NEW_SUFFIX = ".new"
WANT = "64 hex digits, or base64 of 32 bytes"

_HEX = re.compile(rb"[0-9a-fA-F]{64}")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{43}=")


def parsed(text: bytes) -> bytes | None:
    """The key that a text is, None if it is none."""
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text.decode())
    if not _BASE64.fullmatch(text):
        return None
    try:
        return base64.b64decode(text.replace(b"-", b"+").replace(b"_", b"/"), validate=True)
    except binascii.Error:
        return None


def from_file(path: Path, *, make: bool) -> bytes:
    """The master key in ``path``; made there with mode 0600 if ``make`` and it is missing."""
    try:
        if make and not path.exists():
            write(path, secrets.token_bytes(KEY_BYTES))
        refuse_if_shared(f"master key {path}", path)
        with open(path, "rb") as file:
            content = file.read(TEXT_BYTES_MAX)
    except OSError as fault:
        raise SetupError(f"master key {path}: {fault.strerror}") from fault
    key = parsed(content)
    if key is None:
        raise SetupError(f"master key {path}: want {WANT}")
    return key


def refuse_if_shared(what: str, path: Path) -> None:
    """SetupError for a file with a key that others than its owner may read or write."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise SetupError(f"{what}: mode {mode:04o} lets others read it; run chmod 600 on it")


def from_command(words: Sequence[str], seconds: float = COMMAND_SECONDS_MAX) -> bytes:
    """The key that a command prints to stdout, within ``seconds``. No shell reads the words; stderr is the node's."""
    what = f"--master-key-command {words[0]}"
    try:
        process = subprocess.Popen(  # nosec B603: words as the operator gave them, and no shell
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0, start_new_session=True
        )
    except OSError as fault:
        raise SetupError(f"{what}: {fault.strerror}") from fault
    try:
        deadline = time.monotonic() + seconds
        printed = _printed(process, deadline)
        is_whole = printed is not None and len(printed) < TEXT_BYTES_MAX
        code = process.wait(max(0.0, deadline - time.monotonic())) if is_whole else 0
    except subprocess.TimeoutExpired:
        printed, code = None, 0
    finally:
        _end(process)
    if printed is None:
        raise SetupError(f"{what}: no answer within {seconds:g} s")
    if code:
        raise SetupError(f"{what}: ended with exit code {code}, want 0 and the key on stdout")
    key = parsed(printed)
    if key is None:
        raise SetupError(f"{what}: printed {len(printed)} bytes that are no key, want {WANT} and nothing else")
    return key


def _printed(process: subprocess.Popen[bytes], deadline: float) -> bytes | None:
    """What a process prints, TEXT_BYTES_MAX at most; None if it takes too long."""
    assert process.stdout is not None
    found = b""
    while len(found) < TEXT_BYTES_MAX:
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        piece = os.read(process.stdout.fileno(), TEXT_BYTES_MAX - len(found))
        if not piece:
            break
        found += piece
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """No process of the command outlives the question, nor blocks on what nobody reads."""
    assert process.stdout is not None
    process.stdout.close()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def write(path: Path, key: bytes) -> None:
    """Make a key's file, durable, whole or not at all, for its owner alone."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    put(part, path)


def put(part: Path, path: Path) -> None:
    """Give a file its name, or another's, durably."""
    part.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def new_of(path: Path) -> Path:
    """Where a key waits until the index is sealed under it."""
    return path.with_name(path.name + NEW_SUFFIX)
