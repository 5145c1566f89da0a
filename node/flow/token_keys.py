"""The keys that sign tokens. The newest signs; those before it stay until every token that they signed has expired."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from node.clock import Clock
from node.errors import SetupError
from node.store import keys, log
from node.store.db import Store
from node.store.seal import Seal

TOKEN_SECONDS = 3_600
SKEW_SECONDS = 30
LOOK_AGAIN_MICROS = 1_000_000
"""So soon a running node sees what ``vtrace keys rotate`` did."""
KEYS_MAX = 16
PREFIX = "token/"
MADE_AT_BYTES = 8
_LIFE_MICROS = (TOKEN_SECONDS + SKEW_SECONDS) * 1_000_000 + LOOK_AGAIN_MICROS


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A key: its id, its seed, and when it was made (microseconds since 1970)."""

    kid: str
    seed: bytes
    made_at: int


class TokenKeys:
    """The keys as the index has them, looked at again within LOOK_AGAIN_MICROS."""

    def __init__(self, store: Store, seal: Seal, clock: Clock, new_seed: Callable[[], bytes]) -> None:
        """Make the first key where there is none."""
        self._seal = seal
        self._clock = clock
        with store.write():
            if not _stored(seal):
                _add(seal, new_seed(), clock())
        self._known: dict[str, TokenKey] = {}
        self._signing: TokenKey | None = None
        self._looked_at = 0

    def signing(self) -> TokenKey:
        """The key that new tokens are signed with."""
        self._look()
        assert self._signing is not None
        return self._signing

    def find(self, kid: str) -> TokenKey | None:
        """The key with this id, if tokens of it can still be good."""
        self._look()
        return self._known.get(kid)

    def _look(self) -> None:
        now = self._clock()
        if self._signing is not None and abs(now - self._looked_at) < LOOK_AGAIN_MICROS:
            return
        valid = _valid(_stored(self._seal), now)
        # Each is set as a whole: other threads see the keys of before or these.
        self._known = {key.kid: key for key in valid}
        self._signing = valid[-1]
        self._looked_at = now


def rotate(store: Store, seal: Seal, clock: Clock, new_seed: Callable[[], bytes], *, revoke: bool) -> TokenKey:
    """A new key to sign with; the others go when their tokens have expired, with ``revoke`` at once."""
    with store.write():
        known, now = _stored(seal), clock()
        kept = [] if revoke else _valid(known, now)
        if len(kept) >= KEYS_MAX:
            raise SetupError(
                f"{KEYS_MAX} keys were made within {TOKEN_SECONDS // 60} minutes: try again later, or end every token "
                "with --revoke"
            )
        for key in known:
            if key not in kept:
                keys.forget_key(PREFIX + key.kid)
        # Also with a clock that was set back the new key is the newest.
        made = _add(seal, new_seed(), max(now, *(key.made_at + 1 for key in known), 0))
        log.note_command(clock, "keys rotate", {"key": made.kid, "revoked": revoke})
        return made


def _add(seal: Seal, seed: bytes, made_at: int) -> TokenKey:
    key = TokenKey(secrets.token_hex(8), seed, made_at)
    keys.keep_key(seal, PREFIX + key.kid, made_at.to_bytes(MADE_AT_BYTES, "big") + seed)
    return key


def _stored(seal: Seal) -> list[TokenKey]:
    """Every key of the index, the oldest first."""
    found = [
        TokenKey(name.removeprefix(PREFIX), secret[MADE_AT_BYTES:], int.from_bytes(secret[:MADE_AT_BYTES], "big"))
        for name, secret in keys.known_keys(seal, PREFIX)
    ]
    return sorted(found, key=lambda key: (key.made_at, key.kid))


def _valid(known: list[TokenKey], now: int) -> list[TokenKey]:
    """The newest key, and those before it whose last tokens may still be good."""
    kept = [key for key, after in itertools.pairwise(known) if after.made_at + _LIFE_MICROS > now]
    return kept + known[-1:]
