"""An IPFS daemon with Kubo's RPC for tests: offline, on a free loopback port, ended by its pid.

``scripts/set-up.sh`` installs its npm packages (tests/files/daemon/package-lock.json).
"""

from __future__ import annotations

import selectors
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.chain.servers import end, free_port

HOME = Path(__file__).parent / "daemon"
START_SECONDS_MAX = 60


@contextmanager
def daemon(repo: Path, port: int | None = None) -> Iterator[str]:
    """A daemon on a repository, made when it is not there; gives its URL."""
    port = port or free_port()
    log_path = repo.with_name(f"{repo.name}.log")
    command = ["node", "start.js", str(repo), str(port)]
    with open(log_path, "ab") as log:
        process = subprocess.Popen(
            command, cwd=HOME, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
        )
    assert process.stdout is not None
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            said = process.stdout.readline() if selector.select(START_SECONDS_MAX) else "nothing"
        if said != "ready\n":
            raise AssertionError(f"the daemon said {said!r}:\n{log_path.read_text()[-4000:]}")
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)
        process.stdout.close()
