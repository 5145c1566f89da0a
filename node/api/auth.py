"""Who calls, and what the caller may do: tokens, and the one table of rpcs and roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.clock import Clock
from node.domain.records import User
from node.domain.roles import Role, has
from node.errors import Reason, VTraceError, denied

TOKEN_SECONDS = 3_600
TOKEN_LENGTH_MAX = 4_096
TOKENS_REMEMBERED_MAX = 4_096
"""How many tokens need no second check of their signature."""
ISSUER = AUDIENCE = "vtrace"
ALGORITHM = "EdDSA"

ANYONE: tuple[Role, ...] = ()

NEEDS: dict[str, tuple[Role, ...]] = {
    "Register": ANYONE,
    "Token": ANYONE,
    "RefreshToken": (Role.NORMAL,),
    "Profile": (Role.NORMAL,),
    "UpdateUser": (Role.NORMAL,),
    "DeleteUser": (Role.NORMAL,),
    "GetOrgUser": (Role.NORMAL,),
    "Upload": (Role.NORMAL,),
    "IdentityAuth": (Role.NORMAL,),
    "OrgAuth": (Role.TRANSPORTER,),
    "Member": (Role.BOSS,),
    "OrgRemoveMember": (Role.BOSS,),
    "ListOrgMember": (Role.BOSS,),
    "UpdateOrg": (Role.BOSS,),
    "CreateGoodsClass": (Role.PRODUCER,),
    "CreateGoodsSerial": (Role.PRODUCER,),
    "BatchCreateGoods": (Role.PRODUCER,),
    "ListClass": (Role.PRODUCER,),
    "ListGoodsSerial": (Role.PRODUCER,),
    "ListGoods": (Role.PRODUCER,),
    "UpdateClass": (Role.PRODUCER,),
    "UpdateGoodsSerial": (Role.PRODUCER,),
    "UpdateGoods": (Role.PRODUCER,),
    "ListMaterial": (Role.PRODUCER,),
    "ListLabels": (Role.PRODUCER,),
    "GetClass": (Role.PRODUCER,),
    "GetGoodsSerial": (Role.PRODUCER,),
    "CreateCirc": (Role.TRANSPORTER, Role.EXAMINER),
    "BatchCirc": (Role.TRANSPORTER, Role.EXAMINER),
    "GetAccount": (Role.NORMAL,),
    "SetAccount": (Role.NORMAL,),
    "PrepareCirc": (Role.TRANSPORTER, Role.EXAMINER),
    "GetCirc": ANYONE,
    "GetGoods": ANYONE,
    "ContractName": ANYONE,
    "ListScanAlerts": (Role.PRODUCER,),
    "WatchCirc": ANYONE,
    "WatchOrgCirc": (Role.PRODUCER,),
    "CreateWebhook": (Role.BOSS,),
    "ListWebhooks": (Role.BOSS,),
    "DeleteWebhook": (Role.BOSS,),
    "ListModels": (Role.EXAMINER,),
    "Predict": (Role.EXAMINER,),
}
"""rpc → the roles of which the caller needs one. What is not in here is refused at start."""


def require(user: User, roles: Iterable[Role], what: str) -> None:
    """PERMISSION_DENIED unless the user has, or inherits, one of ``roles``."""
    roles = tuple(roles)
    if not any(has(user.role, role) for role in roles):
        wanted = " or ".join(role.value for role in roles)
        raise denied(f"{what} needs the role {wanted}, the caller is {user.role.value}", role=user.role.value)


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a token of this node says: whose it is, and from when until when, in seconds since 1970."""

    user_id: int
    epoch: int
    begins: int
    expires: int


class Tokens:
    """Signs and checks the bearer tokens (JWT, EdDSA over Ed25519) of one node."""

    def __init__(self, seed: bytes, find_user: Callable[[int], User | None], clock: Clock) -> None:
        self._find_user = find_user
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = self._private.public_key()
        self._clock = clock
        self._claims = lru_cache(TOKENS_REMEMBERED_MAX)(self._checked)

    @staticmethod
    def new_seed() -> bytes:
        """A fresh signing key: the 32 bytes of an Ed25519 private key."""
        return Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.Raw, serialization.PrivateFormat.Raw, serialization.NoEncryption()
        )

    def issue(self, user: User) -> str:
        """A token for ``user``, good for TOKEN_SECONDS or until the user's tokens are revoked."""
        now = self._clock() // 1_000_000
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user.id),
            "epoch": user.token_epoch,
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
        }
        return jwt.encode(claims, self._private, algorithm=ALGORITHM)

    def caller(self, authorization: str | None) -> User:
        """The user whose token stands in the call's ``authorization`` metadata; UNAUTHENTICATED otherwise."""
        if not authorization:
            raise _refused("metadata authorization: missing, want Bearer <token> (call Token for one)")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > TOKEN_LENGTH_MAX:
            raise _refused("metadata authorization: want Bearer <token>")
        claims = self._claims(token)
        if not claims.begins <= self._clock() // 1_000_000 < claims.expires:
            raise _refused("the token has expired: call Token for a new one")
        user = self._find_user(claims.user_id)
        if user is None or user.deleted or user.token_epoch != claims.epoch:
            raise _refused("the token was revoked: call Token for a new one")
        return user

    def _checked(self, token: str) -> _Claims:
        """What stays true of a token for ever: that this node signed it, and what it says."""
        try:
            claims = jwt.decode(
                token,
                self._public,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={
                    "require": ["exp", "iat", "nbf", "sub"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
            return _Claims(int(claims["sub"]), int(claims["epoch"]), int(claims["nbf"]), int(claims["exp"]))
        except (jwt.InvalidTokenError, ValueError, TypeError, KeyError):
            raise _refused("the token is not one of this node's: call Token for a new one") from None


def _refused(message: str) -> VTraceError:
    return VTraceError(Reason.TOKEN_EXPIRED, message)
