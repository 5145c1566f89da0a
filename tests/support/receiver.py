"""Somebody's webhook: a real HTTP server that answers as it is told."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

OK, FAIL, GONE, REDIRECT, HANG, DRIP, FLOOD, BREAK = (
    "ok",
    "fail",
    "gone",
    "redirect",
    "hang",
    "drip",
    "flood",
    "break",
)
STATUS = {OK: 204, FAIL: 500, GONE: 410, REDIRECT: 307}


@dataclass
class Delivery:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """``answers`` are used up one by one; then all is well."""

    def __init__(self, port: int = 0) -> None:
        self.deliveries: queue.Queue[Delivery] = queue.Queue()
        self.answers: list[str] = []
        self.free = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                how = receiver.answers.pop(0) if receiver.answers else OK
                receiver.deliveries.put(Delivery(self.path, headers, body))
                self.close_connection = True
                if how == HANG:
                    receiver.free.wait(60)
                elif how == DRIP:
                    self._drip()
                elif how == FLOOD:
                    self._flood()
                elif how != BREAK:
                    self.send_response(STATUS[how])
                    self.send_header("content-length", "0")
                    if how == REDIRECT:
                        self.send_header("location", "/elsewhere")
                    self.end_headers()

            def _drip(self) -> None:
                """A head that never ends, a byte at a time."""
                self.wfile.write(b"HTTP/1.1 200 OK\r\nx: ")
                while not receiver.free.wait(0.05):
                    self.wfile.write(b"x")
                    self.wfile.flush()

            def _flood(self) -> None:
                """An answer without end."""
                self.wfile.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                while not receiver.free.is_set():
                    self.wfile.write(b"10000\r\n" + bytes(65_536) + b"\r\n")

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True  # the node has had enough

            def log_message(self, *_: Any) -> None:
                """Nothing is printed."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/hook?x=1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def next(self, seconds: float = 60) -> Delivery:
        return self.deliveries.get(timeout=seconds)

    def close(self) -> None:
        self.free.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()
    try:
        yield receiver
    finally:
        receiver.close()
