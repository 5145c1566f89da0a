"""``vtrace`` in a process of its own, as a fork of a Python that has imported the node already.

To import the node takes a core longer than most tests need of it, and the tests start hundreds of nodes and commands.
``python -m tests.support.forking FD`` is that Python: it starts no thread and opens nothing; it forks when it is told
to over the socket FD, and ends with it. What a fork is then, only its own arguments, environment and files say.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import IO, Any

MODULES = ("node.app", "node.chain.embedded", "node.cli", "node.api.client", "node.api.partner", "node.flow.audit")
ORDER_BYTES_MAX = 1 << 20
START_SECONDS_MAX = 180


class Forked:
    """One process, which can be asked and ended like a Popen."""

    def __init__(self, told: int, stdout: IO[bytes] | None) -> None:
        self._told = os.fdopen(told, "rb", buffering=0)
        self._lock = threading.Lock()
        self.stdout = stdout
        self.returncode: int | None = None
        pid = self._line(START_SECONDS_MAX)
        if not pid:
            raise RuntimeError("the process was not started")
        self.pid = int(pid)

    def _line(self, seconds: float | None) -> bytes | None:
        """What is told next: of the start the process's id, of the end its code. None if that takes longer."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._told, selectors.EVENT_READ)
            return self._told.readline() if selector.select(seconds) else None

    def poll(self) -> int | None:
        """The exit code, once it ended; -N by the signal N."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code; subprocess.TimeoutExpired."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("vtrace", timeout or 0)
        return code

    def _look(self, seconds: float | None) -> int | None:
        with self._lock:
            if self.returncode is None and (line := self._line(seconds)) is not None:
                if not line:
                    raise RuntimeError("nobody knows how the process ended")
                self.returncode = int(line)
                self._told.close()
            return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ended, and its code has yet to be told
                os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)


class Forkery:
    """Starts processes; the first one takes as long as the import."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._orders: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self, module: str, args: Sequence[str], environment: Mapping[str, str], stdin: Any, stdout: Any, stderr: Any
    ) -> Forked:
        """``python -m MODULE ARGS`` with three open files; subprocess.PIPE for stdout alone."""
        out, piped = None, []
        if stdout == subprocess.PIPE:
            reading, writing = os.pipe()
            out, stdout = os.fdopen(reading, "rb"), writing
            piped.append(writing)
        told, tell = os.pipe()
        order = json.dumps({"module": module, "args": args, "environment": dict(environment), "folder": os.getcwd()})
        files = [file if isinstance(file, int) else file.fileno() for file in (stdin, stdout, stderr)]
        with self._lock:
            socket.send_fds(self._opened(), [order.encode()], [*files, tell])
        for end in (*piped, tell):
            os.close(end)
        return Forked(told, out)

    def _opened(self) -> socket.socket:
        if self._orders is None:
            self._orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.support.forking", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                )
        return self._orders

    def run(
        self, module: str, args: Sequence[str], environment: Mapping[str, str], stdin: str, timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """``python -m MODULE ARGS`` to its end."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            given.write(stdin.encode())
            given.seek(0)
            process = self.start(module, args, environment, given, out, errors)
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait(timeout)
                raise
            out.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess([module, *args], code, out.read().decode(), errors.read().decode())

    def close(self) -> None:
        """Start no more."""
        if self._orders is not None and self._process is not None:
            self._orders.close()
            self._process.wait(START_SECONDS_MAX)


def _ordered(orders: socket.socket) -> dict[str, Any] | None:
    """Fork for each order; returns it in the fork, and None at the end."""
    while True:
        message, files, _, _ = socket.recv_fds(orders, ORDER_BYTES_MAX, 4)
        if not message:
            return None
        if os.fork():
            for file in files:
                os.close(file)
            continue
        *standard, tell = files
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        pid = os.fork()
        if not pid:
            for number, file in enumerate(standard):
                os.dup2(file, number)
            for file in (*standard, tell, orders.detach()):
                os.close(file)
            order: dict[str, Any] = json.loads(message)
            return order
        # This one waits for the other and tells how it ended.
        for file in (0, 1, 2, *standard, orders.detach()):
            os.close(file)
        os.write(tell, f"{pid}\n".encode())
        _, status = os.waitpid(pid, 0)
        os.write(tell, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os._exit(0)


def main() -> None:
    """Import, and fork until nobody orders any more."""
    orders = socket.socket(fileno=int(sys.argv[1]))
    for module in MODULES:
        import_module(module)
    if len(os.listdir("/proc/self/task")) > 1:
        raise RuntimeError("an import started a thread, which a fork would not have")
    gc.collect()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    order = _ordered(orders)
    if order is None:
        return
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    sys.argv = [order["module"], *order["args"]]
    runpy.run_module(order["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
