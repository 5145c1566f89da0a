"""A real node for tests: ``vtrace serve`` as its own process."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.forking import Forked, Forkery
from tests.support.wire_client import WireClient

forkery: Forkery | None = None
"""What starts nodes and commands in less time, where they are not measured: the tests have one."""
READY_SECONDS_MAX = 180
STOP_SECONDS_MAX = 60


class NodeFailed(Exception):
    """The node ended before it was ready; the message has its log."""


class RunningNode:
    """One started node. ``ready`` is the line that it printed; ``module`` is what is run in place of ``vtrace``."""

    def __init__(
        self, data_dir: Path, *args: str, module: str = "node.cli", environment: Mapping[str, str] | None = None
    ) -> None:
        self.data_dir = data_dir
        self.log_path = data_dir.with_name(data_dir.name + ".log")
        given = ["serve", "--data-dir", str(data_dir), "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", *args]
        variables = {**os.environ, **(environment or {})}
        with open(self.log_path, "ab") as log, open(os.devnull) as nothing:
            self.process: subprocess.Popen[bytes] | Forked
            if forkery is None:
                command = [sys.executable, "-m", module, *given]
                self.process = subprocess.Popen(
                    command, stdin=nothing, stdout=subprocess.PIPE, stderr=log, env=variables
                )
            else:
                self.process = forkery.start(module, given, variables, nothing, subprocess.PIPE, log)
        self.ready = self._wait_ready()
        self.client = WireClient(self.ready["grpc"])

    def _wait_ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(READY_SECONDS_MAX):
                self.kill()
                raise NodeFailed(f"not ready after {READY_SECONDS_MAX} s:\n{self.log()}")
        line = self.process.stdout.readline()
        if not line:
            self.reap()
            raise NodeFailed(f"exit {self.process.returncode}:\n{self.log()}")
        ready: dict[str, Any] = json.loads(line)
        return ready

    @property
    def rpc_url(self) -> str:
        return f"http://{self.ready['http']}/rpc"

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        self.kill_now()
        self.reap()

    def kill_now(self) -> None:
        """kill -9, at once."""
        self.process.send_signal(signal.SIGKILL)

    def reap(self) -> None:
        """Wait for the end of a killed node."""
        self.process.wait(STOP_SECONDS_MAX)
        self._close()

    def stop(self) -> int:
        """SIGTERM; answers the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS_MAX)
        self._close()
        return code

    def _close(self) -> None:
        if hasattr(self, "client"):
            self.client.close()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def command(self, *args: str, stdin: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """``vtrace ARGS`` on this machine."""
        return vtrace(*args, stdin=stdin, timeout=timeout)


def vtrace(*args: str, stdin: str = "", timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    if forkery is not None:
        return forkery.run("node.cli", args, environment, stdin, timeout)
    return subprocess.run(
        [sys.executable, "-m", "node.cli", *args],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
    )


@contextmanager
def running(data_dir: Path, *args: str) -> Iterator[RunningNode]:
    """A node for the length of a block; it must stop cleanly."""
    node = RunningNode(data_dir, *args)
    try:
        yield node
    finally:
        if node.process.poll() is None:
            code = node.stop()
            assert code == 0, f"exit {code}:\n{node.log()}"
        else:
            node._close()


def eventually(check: Any, seconds: float = 60) -> Any:
    """Poll until ``check()`` answers something true; fails after the bound."""
    deadline = time.monotonic() + seconds
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"still not so after {seconds} s")
        time.sleep(0.05)
