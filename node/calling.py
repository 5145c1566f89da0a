"""The call that this thread is answering, so that what is logged or measured deep inside can be told apart.

A thread that does the work of several calls at once, as a group commit's leader does, is nobody's meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

TRANS_IDS_MAX = 10
"""How many trans_ids of one call are kept; a batch may have many."""


@dataclass(slots=True)
class Calling:
    """One call: its rpc, the request's id, and what became known so far. ``user`` is a username, never a person's data.

    ``began`` and the two of ``commit``, the last one, are nanoseconds since 1970; ``started`` is perf_counter's;
    ``trace_parent`` is W3C's header as it came, unchecked.
    """

    rpc: str
    request_id: str
    began: int
    started: float
    trace_parent: str = ""
    user: str = ""
    trans_ids: tuple[str, ...] = ()
    commit: tuple[int, int] | None = None


_current: ContextVar[Calling | None] = ContextVar("calling", default=None)


def current() -> Calling | None:
    """The call of this thread, if it is answering one."""
    return _current.get()


def is_of(username: str) -> None:
    """The user who calls is known."""
    calling = _current.get()
    if calling is not None:
        calling.user = username


def has_recorded(trans_ids: Iterable[str]) -> None:
    """What the call has recorded, a trans_id for each goods; the first few that differ are kept."""
    calling = _current.get()
    if calling is not None:
        found: list[str] = []
        for trans_id in trans_ids:
            if not found or trans_id != found[-1]:
                found.append(trans_id)
                if len(found) == TRANS_IDS_MAX:
                    break
        calling.trans_ids = tuple(found)


def has_committed(began: int, ended: int) -> None:
    """The index has taken what the call wrote, in that time (nanoseconds since 1970)."""
    calling = _current.get()
    if calling is not None:
        calling.commit = began, ended


class instead:
    """What this thread does in the block, it does for that call; None: for several, or for none.

    A class, since each call passes several of these and a generator costs three times as much.
    """

    __slots__ = ("_calling", "_token")

    def __init__(self, calling: Calling | None) -> None:
        self._calling = calling

    def __enter__(self) -> None:
        self._token = _current.set(self._calling)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
