"""Which user a client certificate stands for."""

from __future__ import annotations

from collections.abc import Sequence

PREFIX = "vtrace:user:"
USERNAME_LENGTH_MAX = 64


def username_in(uris: Sequence[str]) -> str | None:
    """The user that a certificate's names of kind URI say, as ``vtrace:user:NAME``; None if they say none.

    ValueError for several users, or a name that no user can have. Other kinds of names, the common name too, say
    nothing: authorities put there what people and machines call themselves.
    """
    names = {uri.removeprefix(PREFIX) for uri in uris if uri.startswith(PREFIX)}
    if not names:
        return None
    if len(names) > 1:
        raise ValueError("several users")
    (name,) = names
    if not 1 <= len(name) <= USERNAME_LENGTH_MAX or not name.isascii() or not name.isalnum():
        raise ValueError("no username")
    return name
