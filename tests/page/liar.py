"""A node that lies: an HTTP server in front of a real one that changes what it likes on the way to the reader."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

Rewrite = Callable[[str, httpx.Response], httpx.Response | bytes | str | None]
"""Given the path and the node's answer: what to send instead, a whole answer or a body; None for the answer itself."""

_OWN_HEADERS = ("content-length", "content-encoding", "transfer-encoding", "connection", "date")


class Liar:
    """``rewrite`` may be exchanged at any time; ``address`` is where it listens, ``asked`` what it was asked for."""

    def __init__(self, node: str) -> None:
        self.rewrite: Rewrite = lambda _path, _answer: None
        self.http = httpx.Client(base_url=f"http://{node}", timeout=30)
        self.asked: list[str] = []
        liar = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                liar.asked.append(self.path)
                passed = {name: self.headers[name] for name in ("Accept-Language", "Range") if name in self.headers}
                answer = liar.http.get(self.path, headers=passed)
                instead = liar.rewrite(self.path, answer)
                body = answer.content
                if isinstance(instead, httpx.Response):
                    answer, body = instead, instead.content
                elif instead is not None:
                    body = instead.encode() if isinstance(instead, str) else instead
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name not in _OWN_HEADERS:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Tests read no log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.http.close()


@contextmanager
def lying(node: str) -> Iterator[Liar]:
    liar = Liar(node)
    try:
        yield liar
    finally:
        liar.close()
