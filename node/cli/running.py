"""Running a node in this process until it is asked to stop."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from node.config import Config
from node.errors import SetupError

if TYPE_CHECKING:
    from node.app import Member, Ready

WAKE_SECONDS = 1.0


def stop_at_signals() -> threading.Event:
    """Set at SIGTERM and SIGINT from now on."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    return stopping


def run(
    config: Config,
    stopping: threading.Event,
    ready: Callable[[Ready], None],
    beat: Callable[[], None] = lambda: None,
    member: Member | None = None,
) -> None:
    """Run a node until ``stopping`` is set; ``ready`` is told once it answers, and ``beat`` every WAKE_SECONDS.

    SetupError where it can't start, or can't go on.
    """
    from node.app import Node
    from node.opening import Stopped

    try:
        node = Node(config, on_fatal=stopping.set, stopping=stopping, member=member)
    except Stopped:
        return
    try:
        started = node.start()
        # What is there now stays: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        ready(started)
        # A signal between Python's last look and the wait itself would not end a wait without an end.
        while not stopping.wait(WAKE_SECONDS):
            beat()
    finally:
        node.stop()
    if node.fault is not None:
        raise SetupError(f"the node stopped: {node.fault}")
