"""Users as an event names them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SCHEME = "urn:vtrace:"
_NUMBER = re.compile(r"[1-9][0-9]{0,9}")
_USERNAME = re.compile(r"[a-z0-9-]{1,64}")


@dataclass(frozen=True, slots=True)
class Party:
    """A user: by its number in the contract, or by its username."""

    actor: int | None
    username: str | None


def party_named(uri: str, base: str) -> Party | None:
    """The user that a URI names, None for a party of elsewhere; ValueError, with what is wanted, for what names none.

    Taken are what ``party_of`` gives, and ``{base}:user:{username}`` for who has no number yet.
    """
    if not uri.lower().startswith(_SCHEME):
        return None
    kind, _, name = uri.removeprefix(f"{base}:").partition(":")
    if uri.startswith(f"{base}:") and kind == "party" and _NUMBER.fullmatch(name):
        return Party(int(name), None)
    if uri.startswith(f"{base}:") and kind == "user" and _USERNAME.fullmatch(name):
        return Party(None, name)
    raise ValueError(f"{base}:user:USERNAME or {base}:party:ACTOR, or a party of elsewhere")
