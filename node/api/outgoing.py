"""What the node streams to a caller, however the call came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

SLOW_SECONDS = 10.0
"""How long a reader may take nothing until it is cut off."""
CURSOR = "cursor"
"""The field of a streamed message that names the place behind it, and of a request that names where to go on."""


@dataclass(frozen=True, slots=True)
class Page:
    """Messages to send now, in their order; ``more``: there are more at once; ``is_last``: then the stream ends."""

    messages: list[Any]
    more: bool = False
    is_last: bool = False


class Outgoing(Protocol):
    """The answer of an rpc that streams to its caller. Nobody holds a thread for it while there is nothing to say."""

    def take(self) -> Page:
        """What there is to say now, without waiting for more. VTraceError ends the stream with that refusal."""

    def on_ready(self, wake: Callable[[], None]) -> None:
        """``wake`` is called, on any thread, when there may be something to take; it must not wait."""

    def close(self) -> None:
        """Nobody listens any more; once more does nothing."""


def is_beat(message: Any) -> bool:
    """Whether a message says nothing but where the stream is."""
    return all(field.name == CURSOR for field, _ in message.ListFields())
