"""Pages of lists: where a page begins, and the token of the next one.

A page begins behind the row that its token names, or skips as many rows as ``offset`` says. A token holds the id of a
row and a check over that and the list that it is of. It is no secret, and nothing hangs on it: whose rows are listed is
never taken from it, so that whoever makes one up sees rows that the rpc shows them anyway.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from node.domain.limits import page
from node.errors import Reason, invalid

_ID_BYTES, _CHECK_BYTES = 8, 7
_ID_MAX = 2**63 - 1
WANTED = "the next_page_token of the page before, from the same list"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing:
    """A list whose rows have ascending ids: ``name`` says which one, ``of`` whose."""

    name: str
    of: int

    def token(self, last: int) -> str:
        """What stands for the page behind row ``last``."""
        return base64.urlsafe_b64encode(last.to_bytes(_ID_BYTES, "big") + self._check(last)).decode()

    def after(self, token: str, reason: Reason = Reason.INVALID_PARAMS) -> int:
        """The row behind which a token's page begins; 0, before all rows, without a token."""
        if not token:
            return 0
        try:
            held = base64.b64decode(token, b"-_", validate=True)
        except (binascii.Error, ValueError):
            held = b""
        last = int.from_bytes(held[:_ID_BYTES], "big")
        if last > _ID_MAX or held != last.to_bytes(_ID_BYTES, "big") + self._check(last):
            raise invalid("page_token", token, WANTED, reason)
        return last

    def _check(self, last: int) -> bytes:
        return hashlib.sha256(f"{self.name} {self.of} {last}".encode()).digest()[:_CHECK_BYTES]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins, as a caller asks for it: rows to skip, rows at most (0 means the default), or a token."""

    offset: int
    limit: int
    token: str = ""

    def listed(
        self,
        listing: Listing,
        read: Callable[[int, int, int], Sequence[T]],
        id_of: Callable[[T], int],
        reason: Reason = Reason.INVALID_PARAMS,
    ) -> tuple[list[T], str]:
        """The rows of the page, and the next page's token, empty if this is the last.

        ``read`` gets the row to begin behind, the rows to skip, and how many to read at most.
        """
        offset, limit = page(self.offset, self.limit, reason)
        if self.token and offset:
            raise invalid("offset", offset, "0 with a page_token, which says where the page begins", reason)
        rows = read(listing.after(self.token, reason), offset, limit + 1)
        return list(rows[:limit]), listing.token(id_of(rows[limit - 1])) if len(rows) > limit else ""
