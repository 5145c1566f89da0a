"""Passwords at rest: argon2id, with bounds on how much of it is done at once."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from argon2 import PasswordHasher, Type
from argon2.exceptions import HashingError, InvalidHashError, VerificationError

from node.domain import passwords
from node.errors import Reason, Status, VTraceError

MEMORY_KIB, ITERATIONS, LANES = 65_536, 3, 4
"""RFC 9106's second recommendation, which is more than OWASP's least (19,456 KiB, 2, 1)."""
HASHES_AT_ONCE = 2
"""Each takes 64 MiB and a processor; more at once would only take both from the partners' records."""
HASHES_WAITING_MAX = 12
"""A call that waits holds a thread of the server, and others than logins need one too."""
RETRY_SECONDS = 1


@cache
def common() -> frozenset[str]:
    """Passwords that many people have, as long as one must be; read when the first password is chosen."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS

    return frozenset(word for word in FREQUENCY_LISTS["passwords"] if len(word) >= passwords.LENGTH_MIN)


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a password is the one that is stored, and whether it should be stored anew."""

    matches: bool
    outdated: bool = False


class Passwords:
    """Stores and checks passwords. Both take long: never inside ``Store.write()``."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(ITERATIONS, MEMORY_KIB, LANES, type=Type.ID)
        self._places = threading.BoundedSemaphore(HASHES_AT_ONCE + HASHES_WAITING_MAX)
        self._hashing = threading.BoundedSemaphore(HASHES_AT_ONCE)
        # Checked against when there is no such user, so that both cases take the same time.
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    @contextmanager
    def place(self) -> Iterator[None]:
        """Room among those that hash or wait for it; RESOURCE_EXHAUSTED if there is none."""
        if not self._places.acquire(blocking=False):
            raise VTraceError(
                Reason.SERVICE_OFFLINE,
                "too many logins are under way: try again in a moment",
                status=Status.RESOURCE_EXHAUSTED,
                retry_seconds=RETRY_SECONDS,
            )
        try:
            yield
        finally:
            self._places.release()

    def new(self, field: str, password: str, context: Iterable[str]) -> str:
        """The hash of a new password that keeps the rules; ``context`` as in ``passwords.accepted``."""
        accepted = passwords.accepted(field, password, context, common().__contains__)
        with self.place():
            return self.hash(accepted)

    def hash(self, password: str) -> str:
        """The hash of a password that is right (within ``place()``)."""
        try:
            with self._hashing:
                return self._hasher.hash(passwords.normalised(password))
        except HashingError as fault:
            raise VTraceError(Reason.PASSWD_HASH_FAILED, "the password could not be stored") from fault

    def check(self, stored: str | None, password: str) -> Checked:
        """Hold a password against a hash, or against nobody's: the work is the same (within ``place()``)."""
        if len(password) > passwords.LENGTH_MAX:
            password = ""  # nosec B105: never right
        normal = passwords.normalised(password)
        with self._hashing:
            if self._verified(stored, normal):
                return Checked(True, stored is None or self._hasher.check_needs_rehash(stored))
            # Earlier versions hashed passwords as they came.
            if normal != password and self._verified(stored, password):
                return Checked(True, outdated=True)
        return Checked(False)

    def _verified(self, stored: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(stored if stored is not None else self._nobody, password)
        except InvalidHashError:
            return self._verified(None, password) and False
        except (VerificationError, UnicodeEncodeError):
            return False
