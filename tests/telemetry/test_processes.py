"""Of several processes each tells the figures of all."""

from __future__ import annotations

import json
from pathlib import Path

from tests.chain.servers import anvil, free_port
from tests.flow.world import net_at
from tests.support import people
from tests.support.node import eventually, running
from tests.telemetry.asking import key, read

CALLS = 20


def test_a_scrape_of_any_process_shows_all(tmp_path: Path) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    with anvil() as url, net_at(url, tmp_path) as net:
        options = ("--chain", url, "--signer-key", str(net.key_file), "--confirmations", "1")
        more = ("--workers", "2", "--metrics", metrics, "--log-format", "json")
        with running(tmp_path / "d", *options, *more) as node:

            def ready() -> list[float | None]:
                now = read(f"http://{metrics}/metrics")
                return [now.get(key("vtrace_ready", worker=worker)) for worker in ("1", "2")]

            eventually(lambda: ready() == [1, 1])
            for _ in range(CALLS):
                people.register(node.client)
            registered = {"rpc": "Register", "status": "OK"}
            for _ in range(10):  # whichever answers
                now = read(f"http://{metrics}/metrics")
                told = [now.get(key("vtrace_rpc_calls_total", worker=worker, **registered), 0) for worker in ("1", "2")]
                assert sum(told) == CALLS
                assert now[key("vtrace_backlog_max")] > 0
            lines = [json.loads(line) for line in node.log().splitlines()]
    assert {line["worker"] for line in lines if line.get("rpc") == "Register"} <= {"1", "2"}
    assert sum(line.get("rpc") == "Register" for line in lines) == CALLS
