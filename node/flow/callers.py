"""The caller inside a transaction. What was true when the call arrived may have changed while it waited."""

from __future__ import annotations

from typing import TypeGuard

from node.domain.records import User
from node.errors import Reason, VTraceError
from node.store import people


def fresh(caller: User) -> User:
    """The caller as it is now, inside ``Store.write()``; UNAUTHENTICATED once deleted, or its tokens revoked."""
    user = people.user(caller.id)
    if not is_still(user, caller):
        raise VTraceError(Reason.TOKEN_EXPIRED, "the token was revoked: call Token for a new one")
    return user


def is_still(user: User | None, caller: User) -> TypeGuard[User]:
    """Whether a caller is still the user that it was, with tokens that were not revoked since."""
    return user is not None and not user.deleted and user.token_epoch == caller.token_epoch
