"""Named points on the way of a record, for tests that end the process there.

A node passes them without a thought: ``hit`` does nothing, and nothing in ``node`` ever changes it or reads an
environment variable for it. The tests' own launcher puts something else in its place before it starts the node.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

POINTS: Final = (
    "authenticated",
    "recorded",
    "committed",
    "sending",
    "sent",
    "marked",
    "receipts read",
    "settling",
    "settled",
)
"""Every point, in the order in which a record passes them: the caller is known; circ and transaction are written, but
not committed; they are, but the caller is not answered; a batch is about to go to the chain; the chain has it, but the
index does not know; the index knows; the chain has told what it mined; that is written, but not committed; it is."""


def _pass(name: str) -> None:
    """Go on."""


hit: Callable[[str], None] = _pass


def point(name: str) -> None:
    """The process is at the point ``name``."""
    hit(name)
