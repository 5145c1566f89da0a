"""Logging in: the same work and the same words for known and unknown phones, and a growing wait after failures.

An attempt counts as failed before the password is looked at, and is taken back when it was right: so neither many
attempts at once nor the end of the process make one free.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from node.clock import Clock
from node.domain.addresses import network_of, tells_callers_apart
from node.domain.delay import ACCOUNT, ADDRESS, MICROS
from node.domain.records import User
from node.errors import Reason, Status, VTraceError
from node.flow.passwords import Passwords
from node.flow.tallies import OwnTallies, Tallies, Tally
from node.store import keys, logins, people, personal
from node.store.db import Store
from node.store.logins import NOWHERE, Attempts
from node.store.seal import Seal

SECRET_KEY = "login"  # nosec B105: its name
SECRET_BYTES = 32
PHONE_BYTES_MAX = 64
UNKNOWN_BYTES = 3
"""Hundreds of phones have the same digest, so that not even who has its key can tell which phone was tried."""
NETWORKS_MAX = 16
NETWORK_KNOWN_MICROS = 90 * 86_400 * MICROS
ACCOUNTS_MAX = 100_000
SWEEP_EVERY = 64
SWEEP_ROWS = 4 * SWEEP_EVERY
ADDRESSES_MAX = 10_000


@dataclass
class Attempt:
    """An attempt under way."""

    forgiven: bool = False


class Addresses:
    """Failed attempts by address, of the last ones to fail, in memory, which may be shared."""

    def __init__(self, clock: Clock, known: Tallies | None = None) -> None:
        self._clock = clock
        self._known = known or OwnTallies(ADDRESSES_MAX)

    @contextmanager
    def attempt(self, address: str) -> Iterator[Attempt]:
        """One attempt, counted as failed until it is ``forgiven``; RESOURCE_EXHAUSTED while the address has to wait."""
        attempt = Attempt()
        if not tells_callers_apart(address):
            yield attempt
            return
        network = network_of(address)
        before, begun = self._begin(network)
        try:
            yield attempt
        finally:
            if attempt.forgiven:
                self._take_back(network, before, begun)

    def _begin(self, network: str) -> tuple[int, int]:
        now = self._clock()
        before = now

        def failed(tally: Tally | None) -> Tally:
            nonlocal before
            known = _attempts(tally, now)
            before = known.last_at
            failures = ADDRESS.counted(known.failures, known.last_at, now)
            left = ADDRESS.left(failures, known.last_at, now)
            if left:
                raise _too_many(left)
            return failures + 1, now

        self._known.change(network, failed)
        return before, now

    def _take_back(self, network: str, before: int, begun: int) -> None:
        """What failed before still counts: an attacker may have one right password."""

        def forgiven(tally: Tally | None) -> Tally | None:
            known = _attempts(tally, begun)
            if known.failures <= 1:
                return None
            return known.failures - 1, before if known.last_at == begun else known.last_at

        self._known.change(network, forgiven)


def _attempts(tally: Tally | None, now: int) -> Attempts:
    return Attempts(0, now) if tally is None else Attempts(int(tally[0]), tally[1])


class Login:
    """Who is who by phone and password.

    Failures count by account, in the index, also for phones that nobody has. An account that logged in from a network
    has a count of its own there, so that a stranger elsewhere can't make its user wait.
    """

    def __init__(
        self, store: Store, seal: Seal, clock: Clock, passwords: Passwords, addresses: Tallies | None = None
    ) -> None:
        self._store = store
        self._seal = seal
        self._clock = clock
        self._passwords = passwords
        self._addresses = Addresses(clock, addresses)
        with store.write():
            self._secret = keys.own_key(seal, SECRET_KEY, lambda: secrets.token_bytes(SECRET_BYTES))

    def log_in(self, phone: str, password: str, address: str, tell: Callable[[Mapping[str, str]], None]) -> User:
        """The user with this phone and password; nothing tells the caller which of the two was wrong.

        ``tell`` learns for the audit log whose account is tried, by its username. An unknown phone is told apart from
        others by a digest that is too short to say which it is.
        """
        user_id = personal.user_with_phone(self._seal, phone)
        user = None if user_id is None else people.user(user_id)
        unknown = self._digest(b"unknown", _bounded(phone))[:UNKNOWN_BYTES].hex()
        tell({"unknown_phone": unknown} if user is None else {"user": user.username})
        is_right = self._is_right(user, phone, password, address)
        if user is None or not is_right:
            raise VTraceError(Reason.PASSWD_ERR, "phone or password is wrong")
        # As it was when the password was looked at: if that was changed meanwhile, no token for this user is good.
        return user

    def confirm(self, user: User, password: str, address: str) -> None:
        """The password of a user who is logged in already, before it changes something that only the user may."""
        phone = personal.of(self._seal, [user.id])[user.id].phone
        if not self._is_right(user, phone, password, address):
            raise VTraceError(Reason.PASSWD_ERR, "current_password is wrong", metadata={"field": "current_password"})

    @contextmanager
    def registering(self, address: str) -> Iterator[None]:
        """A registration: that a phone is taken can't be hidden, so asking for many costs as failed logins do."""
        with self._addresses.attempt(address) as attempt:
            attempt.forgiven = True
            try:
                yield
            except VTraceError as fault:
                attempt.forgiven = fault.reason is not Reason.ENTRY_DUPLICATE
                raise

    def _is_right(self, user: User | None, phone: str, password: str, address: str) -> bool:
        account = self._digest(b"account", _bounded(phone))
        network = self._digest(b"network" + account, network_of(address).encode())
        stored = user.password_hash if user is not None else None
        with self._passwords.place(), self._addresses.attempt(address) as attempt:
            attempt.forgiven = True  # whom the account makes wait has not guessed
            where = self._begin(account, network)
            attempt.forgiven = False
            checked = self._passwords.check(stored, password)
            if user is None or not checked.matches:
                return False
            attempt.forgiven = True
            anew = self._passwords.hash(password) if checked.outdated else None

        def succeed() -> None:
            if where == NOWHERE:
                logins.forget(account, NOWHERE)
            logins.put(account, network, Attempts(0, self._clock()))
            logins.keep_newest(account, NETWORKS_MAX)
            if anew is not None:
                people.rehash(user.id, user.password_hash, anew)

        self._store.together(succeed)
        return True

    def _begin(self, account: bytes, network: bytes) -> bytes:
        """Count an attempt as failed; answers where it counts. RESOURCE_EXHAUSTED while the account has to wait."""

        def begin() -> bytes:
            now = self._clock()
            known = logins.find(account, network)
            where = NOWHERE if known is None else network
            attempts = known or logins.find(account, NOWHERE) or Attempts(0, now)
            failures = ACCOUNT.counted(attempts.failures, attempts.last_at, now)
            left = ACCOUNT.left(failures, attempts.last_at, now)
            if left:
                raise _too_many(left)
            number = logins.put(account, where, Attempts(failures + 1, now))
            if number % SWEEP_EVERY == 0:
                forgotten = now - ACCOUNT.forget_seconds * MICROS
                logins.sweep(forgotten, now - NETWORK_KNOWN_MICROS, ACCOUNTS_MAX, SWEEP_ROWS)
            return where

        return self._store.together(begin)

    def _digest(self, what: bytes, value: bytes) -> bytes:
        return hmac.digest(self._secret, what + b"\0" + value, "sha256")


def _bounded(phone: str) -> bytes:
    return phone.encode(errors="replace")[:PHONE_BYTES_MAX]


def _too_many(seconds: int) -> VTraceError:
    """The same for an account, for a phone that nobody has, and for an address."""
    return VTraceError(
        Reason.PASSWD_ERR,
        f"too many failed logins: try again in {seconds} s",
        status=Status.RESOURCE_EXHAUSTED,
        retry_seconds=seconds,
    )
