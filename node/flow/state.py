"""How a node's way to the chain is doing, from its index alone: beside a running node, or without one."""

from __future__ import annotations

from dataclasses import dataclass

from node.clock import Clock
from node.domain.records import UNFINISHED, UNMINED, LaneState
from node.domain.webhooks import Webhook
from node.store import outbox, progress, scans, webhooks
from node.store.db import Store

TROUBLE = "trouble."
WORKER = "worker."
WORKER_BEAT_SECONDS = 10.0
WORKER_GONE_SECONDS = 3 * WORKER_BEAT_SECONDS
LEAD = "chain"
"""The lead of all that one process alone does."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """What keeps a part of the node from going on, or kept it last; ``seconds`` is how long ago that was noted."""

    where: str
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One process of several, and how long ago it gave its last sign of life."""

    name: str
    pid: int
    seconds: float


@dataclass(frozen=True, slots=True)
class State:
    """``backlog`` counts transactions that no block holds, ``unfinished`` those that are not final.

    ``head`` and ``confirmed`` are heights of the chain, None before the first look; ``seen_seconds`` is how long ago
    the chain last had news. ``troubles`` are those of now, ``last_error`` may be over. ``scan_notices`` counts goods
    that are scanned unlike their batch, ``scan_hints`` those of them whose pages say so.
    """

    backlog: int
    unfinished: int
    oldest_pending_seconds: float | None
    lanes: tuple[LaneState, ...]
    head: int | None
    confirmed: int | None
    seen_seconds: float | None
    forks: int
    troubles: tuple[Trouble, ...]
    last_error: Trouble | None
    scan_notices: int
    scan_hints: int
    webhooks: tuple[Webhook, ...] = ()
    """Those that fail or are disabled."""
    workers: tuple[WorkerState, ...] = ()
    """The processes that share the index, if the node has several."""
    leader: str = ""
    """Which of them took the lead last."""


def state_of(store: Store, clock: Clock) -> State:
    """The state of the index now."""
    with store.read():
        now, noted, lanes = clock(), progress.noted(), tuple(progress.lanes())
        oldest = outbox.oldest_at(UNFINISHED)

        def ago(at: int) -> float:
            return max(0, now - at) / 1_000_000

        def height(name: str) -> int | None:
            return int(noted[name][0]) if name in noted else None

        troubles = [
            Trouble(name.removeprefix(TROUBLE), message, ago(at))
            for name, (message, at) in sorted(noted.items())
            if name.startswith(TROUBLE) and message
        ]
        last = noted.get("last_error")
        notices, hints = scans.totals()
        return State(
            backlog=outbox.count(UNMINED),
            unfinished=outbox.count(UNFINISHED),
            oldest_pending_seconds=None if oldest is None else ago(oldest),
            lanes=lanes,
            head=height("head"),
            confirmed=height("confirmed"),
            seen_seconds=ago(noted["head"][1]) if "head" in noted else None,
            forks=height("forks") or 0,
            troubles=tuple(troubles),
            last_error=None if last is None else Trouble("", last[0], ago(last[1])),
            scan_notices=notices,
            scan_hints=hints,
            webhooks=tuple(webhooks.failing()),
            workers=tuple(
                WorkerState(name.removeprefix(WORKER), int(pid), ago(at))
                for name, (pid, at) in sorted(noted.items())
                if name.startswith(WORKER) and pid and ago(at) < WORKER_GONE_SECONDS
            ),
            leader=(progress.leader(LEAD) or ("", 0))[0],
        )
