"""Chains for tests: each a context manager that gives what it started, ready, and ends it by its pid.

``anvil(*args)`` and ``hardhat()`` are processes on a free loopback port; ``embedded(path)`` is the
node's own chain in this process. None uses published keys: ``fund`` gives wei to any account.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from node.chain.embedded import EmbeddedChain
from node.chain.transport import ChainUnavailable, HttpRpc, JsonRpc, RpcError

ROOT = Path(__file__).resolve().parents[2]
ANVIL = ROOT / "node_modules" / ".bin" / "anvil"
HARDHAT = ROOT / "node_modules" / ".bin" / "hardhat"
START_SECONDS_MAX = 180
STOP_SECONDS_MAX = 120
"""A chain that is killed before it has written its state would come back with an older one."""
POLL_SECONDS = 0.05
RICH_WEI = 10**24


class ServerFailed(Exception):
    """A server ended or stayed silent; the message has the end of what it printed."""


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def anvil(*args: str, port: int | None = None) -> Iterator[str]:
    """Anvil with any further arguments; gives its URL. It mines at once, unless told otherwise."""
    port = port or free_port()
    with anvil_process(*args, port=port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def anvil_process(*args: str, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The same, for who wants the process itself.

    It keeps EIP-7825 (at most 16,777,216 gas a transaction) only if it is asked to, so it is.
    """
    command = [str(ANVIL), "--host", "127.0.0.1", "--port", str(port), "--accounts", "1"]
    command += ["--enable-tx-gas-limit", *args]
    with _served(command, f"http://127.0.0.1:{port}") as process:
        yield process


@contextmanager
def hardhat(*args: str, port: int | None = None) -> Iterator[str]:
    """Hardhat Network by the project's own configuration; gives its URL. It mines at once."""
    port = port or free_port()
    command = [str(HARDHAT), "node", "--hostname", "127.0.0.1", "--port", str(port), *args]
    url = f"http://127.0.0.1:{port}"
    with _served(command, url):
        yield url


def url_over(scheme: str, url: str) -> str:
    """The URL of the same server by another scheme: Anvil and Hardhat answer http and ws at one port."""
    return f"{scheme}:{url.partition(':')[2]}"


@contextmanager
def embedded(path: Path, funded: str) -> Iterator[EmbeddedChain]:
    chain = EmbeddedChain(path, funded=funded)
    try:
        yield chain
    finally:
        chain.close()


def fund(rpc: JsonRpc, account: str, wei: int = RICH_WEI) -> None:
    """Give wei to an account of Anvil or Hardhat, both of which know Hardhat's method."""
    (answer,) = rpc.batch([("hardhat_setBalance", [account, hex(wei)])])
    if isinstance(answer, RpcError):
        raise answer


@contextmanager
def _served(command: Sequence[str], url: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends. Its output goes to a file, which a failure quotes."""
    environment = os.environ | {"HARDHAT_DISABLE_TELEMETRY_PROMPT": "true", "NO_COLOR": "1"}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        try:
            _await_ready(process, url, output.fileno())
            yield process
        finally:
            ended = process.poll()
            end(process)
            if ended not in (None, -signal.SIGKILL):
                print(f"{command[0]} ended by itself, exit {ended}:\n{_tail(output.fileno())}", file=sys.stderr)


def end(process: subprocess.Popen[Any]) -> None:
    """SIGTERM, and SIGKILL where that is not heard."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _await_ready(process: subprocess.Popen[bytes], url: str, output: int) -> None:
    rpc = HttpRpc(url, timeout_seconds=5)
    deadline = time.monotonic() + START_SECONDS_MAX
    try:
        while True:
            try:
                rpc.batch([("eth_chainId", [])])
                return
            except ChainUnavailable as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise ServerFailed(f"{process.args!r} isn't ready: {error}\n{_tail(output)}") from None
            time.sleep(POLL_SECONDS)
    finally:
        rpc.close()


def _tail(output: int) -> str:
    return os.pread(output, 4000, max(os.fstat(output).st_size - 4000, 0)).decode(errors="replace")
