"""A signing service for tests: the eth1 API of Web3Signer on a free loopback port. It signs with eth-account.

What it says follows Web3Signer's OpenAPI description: public keys of 64 bytes in hex, and signatures r ‖ s ‖ v with v
27 or 28 over keccak256 of the data, which the service hashes itself.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from eth_account import Account
from eth_keys import keys
from eth_utils import keccak


class SigningService:
    """``status`` and ``answer`` replace what it would say; ``paused`` makes it say nothing at all."""

    def __init__(self, *secrets: bytes) -> None:
        self.keys = {keys.PrivateKey(each).public_key.to_hex(): each for each in secrets}
        self.status = 200
        self.answer: str | None = None
        self.signed = 0
        self.resumed = threading.Event()
        self.resumed.set()

    def list(self) -> tuple[int, str]:
        return self.status, json.dumps(list(self.keys)) if self.answer is None else self.answer

    def sign(self, identifier: str, body: bytes) -> tuple[int, str]:
        key = self.keys.get(identifier.lower())
        if key is None:
            return 404, ""
        data = json.loads(body)["data"]
        assert data.startswith("0x")
        self.signed += 1
        signature = Account.unsafe_sign_hash(keccak(bytes.fromhex(data[2:])), key).signature
        return self.status, "0x" + bytes(signature).hex() if self.answer is None else self.answer


@contextmanager
def served(service: SigningService, port: int = 0) -> Iterator[str]:
    """The service for the length of a block; gives its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._say(service.list() if self.path == "/api/v1/eth1/publicKeys" else (404, ""))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            _, found, identifier = self.path.partition("/api/v1/eth1/sign/")
            self._say(service.sign(identifier, body) if found else (404, ""))

        def _say(self, answer: tuple[int, str]) -> None:
            service.resumed.wait()
            status, text = answer
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        service.resumed.set()
        server.shutdown()
        server.server_close()
        thread.join()
