"""``vtrace serve --workers N``: starts N processes on one data directory, and keeps them going.

This process answers nothing itself. It holds the directory and the ports, starts a process again that ended, and ends
all of them when it is asked to, or when one says that the node can't go on. When it is killed, they see that its end of
a pair of sockets is closed, and end by themselves.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess  # nosec B404: runs this program itself
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, Pipe, wait

from node import config as configuration
from node.claim import claim_directory
from node.cli.orders import Beat, Behind, Failed, Order, Started
from node.cli.ports import HeldPort
from node.config import Config
from node.errors import SetupError
from node.flow.tallies import new_memory

LOOK_SECONDS = 0.2
PAUSE_SECONDS_FIRST = 0.5
PAUSE_SECONDS_MAX = 30.0
STEADY_SECONDS = 5.0
"""A process that answered for so long is started again at once, others after a pause."""
STARTS_MAX = 5
"""So often in a row a process may end before it is ready while no other is, until the node is given up."""
SILENT_SECONDS_MAX = 60.0
"""A process that was ready and says nothing for so long hangs, and may hold what others wait for: it is killed."""
STOP_SECONDS_MAX = 60.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Serving:
    """What a node of several processes says of itself once all are ready."""

    grpc: str
    http: str
    chain_id: int
    contract: str


class _IsBehind(Exception):
    """A process has found at its start that the index is older than the chain."""

    def __init__(self, unknown: dict[str, int]) -> None:
        super().__init__(unknown)
        self.unknown = unknown


class _Child:
    """A process with a number, again and again."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: subprocess.Popen[bytes] | None = None
        self.told: Connection | None = None
        self.is_ready = False
        self.heard = 0.0
        self.ready_at = 0.0
        self.starts_failed = 0
        self.pause = 0.0
        self.start_at = 0.0
        self.last_words = ""

    def start(self, order: Order, inherited: tuple[int, ...]) -> None:
        """Start the process, and tell it what it is to do."""
        ours, its = Pipe()
        self.process = subprocess.Popen(  # nosec B603: its own words, no shell
            [sys.executable, "-m", "node.cli.worker"],
            stdin=its.fileno(),
            stdout=subprocess.DEVNULL,
            pass_fds=inherited,
        )
        its.close()
        self.told, self.is_ready, self.heard, self.last_words = ours, False, time.monotonic(), ""
        try:
            ours.send(order)
        except OSError:
            log.warning("worker %d ended before it was told what to do", self.number)

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.process is not None:
            self.process.send_signal(number)

    def reap(self, seconds: float) -> int:
        """Wait for its end, which is forced after ``seconds``; answers the exit code."""
        assert self.process is not None
        assert self.told is not None
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            log.error("worker %d did not end within %.0f s and is killed", self.number, seconds)
            self.process.kill()
            code = self.process.wait()
        self.told.close()
        self.process = self.told = None
        self.is_ready = False
        return code


class Supervisor:
    """Runs a node's processes until ``stopping`` is set; ``ready`` is told once, when all of them answer."""

    def __init__(self, config: Config, stopping: threading.Event, ready: Callable[[Serving], None]) -> None:
        configuration.check(config)
        self._given = config
        self._stopping = stopping
        self._ready = ready
        self._children: list[_Child] = []
        self._was_ready = False
        self._started: Started | None = None

    def run(self) -> None:
        """SetupError where the node can't start, or can't go on."""
        try:
            self._run()
        except _IsBehind as behind:
            if self._catch_up(behind.unknown):
                self._run()

    def _catch_up(self, unknown: dict[str, int]) -> bool:
        """Bring the index up to date while no process has it; answers whether the node is still to run."""
        from node.catching_up import catch_up
        from node.flow.ledger import IndexBehind
        from node.opening import Stopped

        try:
            catch_up(self._given, IndexBehind(unknown), self._stopping)
        except Stopped:
            return False
        return True

    def _run(self) -> None:
        self._children = [_Child(number) for number in range(1, self._given.workers + 1)]
        with ExitStack() as held:
            claim = claim_directory(self._given)
            held.enter_context(claim)

            def hold(option: str, address: str) -> str:
                port = HeldPort(option, address)
                held.callback(port.close)
                return port.address

            grpc, http = hold("--grpc", self._given.grpc), hold("--http", self._given.http)
            metrics = None if self._given.metrics is None else hold("--metrics", self._given.metrics)
            self._config = replace(self._given, grpc=grpc, http=http, metrics=metrics)
            self._wakes = os.pipe()
            for end in self._wakes:
                os.set_blocking(end, False)
                held.callback(os.close, end)
            # The lock of the data directory is theirs too: it is free when the last of them has ended.
            self._tallies = new_memory()
            held.callback(os.close, self._tallies)
            self._inherited = (*self._wakes, self._tallies, claim.whole.fileno())
            try:
                while not self._stopping.is_set():
                    self._start_due()
                    self._listen()
            finally:
                self._stop()

    def _start_due(self) -> None:
        for child in self._children:
            if child.process is None and time.monotonic() >= child.start_at:
                child.start(Order(child.number, self._config, *self._wakes, self._tallies), self._inherited)

    def _listen(self) -> None:
        """Hear what the processes say within LOOK_SECONDS, and see to those that ended."""
        known = {child.told: child for child in self._children if child.told is not None}
        for connection in wait(list(known), LOOK_SECONDS) if known else self._pause():
            assert isinstance(connection, Connection)
            self._hear(known[connection], connection)
        for child in self._children:
            silent = time.monotonic() - child.heard
            if child.process is not None and child.is_ready and silent > SILENT_SECONDS_MAX:
                log.error("worker %d has not been heard of for %.0f s and is killed", child.number, silent)
                child.process.kill()
                child.heard = time.monotonic()

    def _pause(self) -> list[Connection]:
        self._stopping.wait(LOOK_SECONDS)
        return []

    def _hear(self, child: _Child, connection: Connection) -> None:
        try:
            said = connection.recv()
        except (EOFError, OSError):
            self._ended(child)
            return
        child.heard = time.monotonic()
        match said:
            case Started():
                self._is_ready(child, said)
            case Failed(message):
                child.last_words = message
            case Behind(unknown):
                if not self._was_ready:
                    raise _IsBehind(unknown)
                child.last_words = "the chain has transactions of this node that its index does not know"
            case Beat():
                pass

    def _is_ready(self, child: _Child, said: Started) -> None:
        child.is_ready, child.ready_at = True, time.monotonic()
        if self._was_ready:
            log.info("worker %d runs again", child.number)
        child.starts_failed = 0
        if not self._was_ready and all(each.is_ready for each in self._children):
            self._was_ready = True
            self._ready(Serving(self._config.grpc, self._config.http, said.chain_id, said.contract))

    def _ended(self, child: _Child) -> None:
        """Start it again after a while, or give up: SetupError."""
        was_ready = child.is_ready
        code = child.reap(STOP_SECONDS_MAX)
        if self._stopping.is_set():
            return
        how = child.last_words or (f"signal {-code}" if code < 0 else f"exit code {code}")
        if child.last_words and (was_ready or not self._was_ready):
            raise SetupError(child.last_words)
        child.starts_failed = 0 if was_ready else child.starts_failed + 1
        if child.starts_failed >= STARTS_MAX and not any(each.is_ready for each in self._children):
            raise SetupError(f"worker {child.number} ended {child.starts_failed} times before it was ready: {how}")
        was_steady = was_ready and time.monotonic() - child.ready_at >= STEADY_SECONDS
        child.pause = 0.0 if was_steady else min(max(PAUSE_SECONDS_FIRST, 2 * child.pause), PAUSE_SECONDS_MAX)
        child.start_at = time.monotonic() + child.pause
        if child.starts_failed <= 1:
            log.warning("worker %d ended (%s) and is started again", child.number, how)

    def _stop(self) -> None:
        """End all processes."""
        for child in self._children:
            child.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        for child in self._children:
            if child.process is not None:
                child.reap(max(0.0, deadline - time.monotonic()))
