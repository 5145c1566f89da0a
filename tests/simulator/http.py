"""The simulator behind HTTP, for nodes that are processes of their own: with 429, and answers that break off."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from node.chain.transport import RpcError
from tests.simulator.chain import Cut, Simulator, TooMany


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, simulator: Simulator) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.simulator = simulator

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A node that was killed within a request is what some tests are about."""


class _Exchange(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        calls = asked if isinstance(asked, list) else [asked]
        try:
            answers = self.server.simulator.batch([(call["method"], call["params"]) for call in calls])
        except TooMany:
            self._give(b"slow down", status=429)
            return
        except Cut as cut:
            whole = self._body(calls, cut.answers + [None] * (len(calls) - len(cut.answers)), asked)
            self._give(whole, told=whole[: len(whole) // 2])
            return
        self._give(self._body(calls, answers, asked))

    def _body(self, calls: list[Any], answers: list[Any], asked: Any) -> bytes:
        bodies = [
            {"jsonrpc": "2.0", "id": call["id"]}
            | ({"error": answer.to_json()} if isinstance(answer, RpcError) else {"result": answer})
            for call, answer in zip(calls, answers, strict=True)
        ]
        return json.dumps(bodies if isinstance(asked, list) else bodies[0]).encode()

    def _give(self, raw: bytes, *, status: int = 200, told: bytes | None = None) -> None:
        """Answer; of ``told`` only this much leaves, and the connection ends."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw if told is None else told)
        self.close_connection = told is not None

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def served(simulator: Simulator) -> Iterator[str]:
    """The simulator's URL for the length of a block."""
    server = _Server(simulator)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
