"""What a new password must be, after NIST SP 800-63B. Passwords that are in use already are never held to it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

from node.errors import Reason, VTraceError, invalid

LENGTH_MIN = 8
LENGTH_MAX = 128
"""Both in characters (code points) of the normalised password."""
SERVICE = "vtrace"
CONTEXT_LENGTH_MIN = 4
"""A word of the user's own that is shorter may stand in any password by chance."""
BESIDE_CONTEXT_MIN = 4
"""So many characters must be left of a password without the words that everybody knows of its user."""


def normalised(password: str) -> str:
    """The password as it is hashed: NFKC, so that it does not matter how a keyboard composes its characters."""
    return unicodedata.normalize("NFKC", password)


def accepted(field: str, password: str, context: Iterable[str], is_common: Callable[[str], bool]) -> str:
    """A new password, normalised; INVALID_ARGUMENT otherwise, in which the password never stands.

    ``context`` are words that others know of the user: phone, e-mail address, names. ``is_common`` tells whether many
    people have this password (given in lower case). There are no rules of composition.
    """
    if len(password) > LENGTH_MAX:
        raise _refused(field, f"{len(password)} characters", _LENGTH)
    password = normalised(password)
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise _refused(field, f"{len(password)} characters", _LENGTH)
    if any(unicodedata.category(character) == "Cs" for character in password):
        raise _refused(field, "broken characters", "Unicode text")
    folded = password.casefold()
    if is_common(folded):
        raise _refused(field, "a common one", "a password that few people have, such as a few words that come to mind")
    left = folded
    # The longest first: an address before the name that is its beginning.
    for word in sorted({normalised(word).casefold() for word in (*_words(context), SERVICE)}, key=len, reverse=True):
        if len(word) >= CONTEXT_LENGTH_MIN:
            left = left.replace(word, "")
    if len(left) < BESIDE_CONTEXT_MIN:
        want = f"{BESIDE_CONTEXT_MIN} more characters beside phone, e-mail address, names and the name of the service"
        raise _refused(field, "little more than what others know", want)
    return password


_LENGTH = f"{LENGTH_MIN} to {LENGTH_MAX} characters"


def _words(context: Iterable[str]) -> Iterable[str]:
    for word in context:
        yield word
        yield word.partition("@")[0]


def _refused(field: str, what: str, want: str) -> VTraceError:
    return invalid(field, what, want, Reason.PARAMS_ERR)
