"""Who calls: bearer tokens (JWT, EdDSA over Ed25519), signed by keys that the node rotates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.clock import Clock
from node.domain.records import User
from node.errors import Reason, VTraceError
from node.flow.token_keys import SKEW_SECONDS, TOKEN_SECONDS, TokenKeys

SESSION_SECONDS_MAX = 30 * 86_400
"""So long after a login RefreshToken gives new tokens."""
TOKEN_LENGTH_MAX = 4_096
TOKENS_REMEMBERED_MAX = 4_096
"""How many tokens need no second check of their signature."""
ISSUER = AUDIENCE = "vtrace"
ALGORITHM = "EdDSA"
CLAIMS = ("iss", "aud", "sub", "epoch", "auth_time", "iat", "nbf", "exp")


@dataclass(frozen=True, slots=True)
class Session:
    """A caller, and when it last gave its password, in seconds since 1970."""

    user: User
    logged_in: int


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a token of this node says: whose it is, and its times in seconds since 1970."""

    kid: str
    user_id: int
    epoch: int
    logged_in: int
    begins: int
    expires: int


class Tokens:
    """Signs and checks the tokens of one node."""

    def __init__(self, keys: TokenKeys, find_user: Callable[[int], User | None], clock: Clock) -> None:
        self._keys = keys
        self._find_user = find_user
        self._clock = clock
        self._claims = lru_cache(TOKENS_REMEMBERED_MAX)(self._checked)

    @staticmethod
    def new_seed() -> bytes:
        """A fresh signing key: the 32 bytes of an Ed25519 private key."""
        return Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        )

    def issue(self, user: User, logged_in: int | None = None) -> str:
        """A token for ``user``, good for TOKEN_SECONDS or until the user's tokens are revoked.

        ``logged_in`` is said of a user who gave its password earlier: its tokens end SESSION_SECONDS_MAX after that.
        """
        now = self._seconds()
        logged_in = now if logged_in is None else logged_in
        ends = logged_in + SESSION_SECONDS_MAX
        if now >= ends:
            days = SESSION_SECONDS_MAX // 86_400
            raise _refused(f"the last login was {days} days ago: call Token")
        key = self._keys.signing()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user.id),
            "epoch": user.token_epoch,
            "auth_time": logged_in,
            "iat": now,
            "nbf": now,
            "exp": min(now + TOKEN_SECONDS, ends),
        }
        return jwt.encode(claims, _private(key.seed), algorithm=ALGORITHM, headers={"kid": key.kid})

    def session(self, authorization: str | None) -> Session:
        """Whose token stands in the call's ``authorization`` metadata; UNAUTHENTICATED otherwise."""
        if not authorization:
            raise _refused("metadata authorization: missing, want Bearer <token> (call Token for one)")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > TOKEN_LENGTH_MAX:
            raise _refused("metadata authorization: want Bearer <token>")
        claims = self._claims(token)
        now = self._seconds()
        if not claims.begins - SKEW_SECONDS <= now < claims.expires + SKEW_SECONDS:
            raise _refused("the token has expired: call Token for a new one")
        # A token that is remembered must not outlive its key.
        if self._keys.find(claims.kid) is None:
            raise _not_ours()
        user = self._find_user(claims.user_id)
        if user is None or user.deleted or user.token_epoch != claims.epoch:
            raise _refused("the token was revoked: call Token for a new one")
        return Session(user, claims.logged_in)

    def caller(self, authorization: str | None) -> User:
        """As ``session``, where only the user counts."""
        return self.session(authorization).user

    def _checked(self, token: str) -> _Claims:
        """What stays true of a token for ever: that a key of this node signed it, and what it says."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self._keys.find(kid) if isinstance(kid, str) else None
            if key is None:
                raise _not_ours()
            # The algorithm is ours to say, not the token's, and the key is of no other kind.
            said = jwt.decode(
                token,
                _private(key.seed).public_key(),
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": list(CLAIMS), "verify_exp": False, "verify_nbf": False, "verify_iat": False},
            )
            return _Claims(
                key.kid,
                _number(int(said["sub"])),
                _number(said["epoch"]),
                _number(said["auth_time"]),
                _number(said["nbf"]),
                _number(said["exp"]),
            )
        except (jwt.InvalidTokenError, ValueError, TypeError):
            raise _not_ours() from None

    def _seconds(self) -> int:
        return self._clock() // 1_000_000


def _private(seed: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(seed)


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _not_ours() -> VTraceError:
    return _refused("the token is not one of this node's: call Token for a new one")


def _refused(message: str) -> VTraceError:
    return VTraceError(Reason.TOKEN_EXPIRED, message)
