"""Keys that a signing service keeps: Web3Signer, or anything that speaks its eth1 API.

``GET /api/v1/eth1/publicKeys`` lists public keys (64 bytes in hex). ``POST /api/v1/eth1/sign/{public key}`` takes
``{"data": "0x…"}`` and answers r ‖ s ‖ v in hex over keccak256 of the data: the service hashes by itself. So it is
given what is hashed, never a digest: a transaction's payload, or ``0x1901 ‖ domain ‖ struct``.

The node signs while others wait for its index. So a call has little time, and after one that failed no other is tried
for a moment: a service that is away holds up nobody for longer than one call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import urllib3
from eth_hash.auto import keccak

from node.chain import signer
from node.chain.transport import endpoint_name, excerpt, reason_of
from node.domain import bounded_json
from node.errors import SignerUnavailable

TIMEOUT_SECONDS: Final = 1.0
REST_SECONDS: Final = 1.0
"""How long nothing is tried after a call that failed."""
ANSWER_BYTES_MAX: Final = 1024 * 1024
POINT_BYTES: Final = 64


class Web3Signer:
    """A signing service at a base URL. Threads may share it. ValueError for a URL that is none."""

    def __init__(
        self, url: str, timeout_seconds: float = TIMEOUT_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"signing service is {url!r}, want http://HOST[:PORT] or https://…")
        self._url = url.rstrip("/")
        self._name = endpoint_name(url)
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._pool = urllib3.PoolManager(num_pools=1)
        self._rests_until = -REST_SECONDS
        self._fault = ""

    def keys(self) -> dict[str, RemoteKey]:
        """Every key that the service has, by its account. Raises SignerUnavailable."""
        raw = self._ask("GET", "/api/v1/eth1/publicKeys", None)
        try:
            listed = bounded_json.loads(raw)
            points = [bytes.fromhex(each.removeprefix("0x")) for each in listed]
        except (ValueError, TypeError, AttributeError):
            raise self._failed(f"answered no list of public keys: {excerpt(raw)}") from None
        if any(len(point) != POINT_BYTES for point in points):
            raise self._failed(f"answered public keys that are not of {POINT_BYTES} bytes")
        keys = [RemoteKey(self, point) for point in points]
        return {key.account: key for key in keys}

    def sign(self, point: bytes, message: bytes) -> bytes:
        """The key's signature over keccak256 of a message. Raises SignerUnavailable, for a wrong signature too."""
        raw = self._ask("POST", f"/api/v1/eth1/sign/0x{point.hex()}", {"data": "0x" + message.hex()})
        try:
            signature = bytes.fromhex(raw.decode().strip().strip('"').removeprefix("0x"))
            by = signer.recover(keccak(message), signature)
        except ValueError as fault:
            raise self._failed(f"answered no signature ({fault}): {excerpt(raw)}") from None
        if by != signer.address_of_point(point):
            raise self._failed(f"signed with the key of {by}, want {signer.address_of_point(point)}")
        return signature

    def close(self) -> None:
        """Give back the connection. No call may follow."""
        self._pool.clear()

    def _ask(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        with self._lock:
            if self._clock() < self._rests_until:
                raise SignerUnavailable(f"{self._fault}; it is left alone for a moment")
            try:
                return self._send(method, path, body)
            except (urllib3.exceptions.HTTPError, OSError, ValueError) as fault:
                # A connection that was refused is a kind of timeout to the library.
                is_refused = isinstance(fault, urllib3.exceptions.NewConnectionError)
                late = isinstance(fault, urllib3.exceptions.TimeoutError) and not is_refused
                why = f"took more than {self._timeout_seconds:g} seconds" if late else None
                raise self._failed(why or f"can't be reached ({reason_of(fault)})") from fault

    def _send(self, method: str, path: str, body: dict[str, Any] | None) -> bytes:
        deadline = time.monotonic() + self._timeout_seconds
        response = self._pool.request(
            method,
            self._url + path,
            json=body,
            headers={"Accept": "application/json, text/plain"},
            timeout=self._timeout_seconds,
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            raw = b""
            # read1 gives what has come, so a service that drips can't outlast the deadline
            while chunk := response.read1(64 * 1024, decode_content=True):
                raw += chunk
                if len(raw) > ANSWER_BYTES_MAX:
                    raise self._failed(f"answered more than {ANSWER_BYTES_MAX} bytes")
                if time.monotonic() > deadline:
                    raise self._failed(f"took more than {self._timeout_seconds:g} seconds")
            if response.status != 200:
                what = "doesn't have the key" if response.status == 404 else "refused"
                raise self._failed(f"{what}: HTTP {response.status}: {excerpt(raw)}")
        except BaseException:
            response.close()  # what is left in it must not be taken for the next answer
            raise
        response.release_conn()
        return raw

    def _failed(self, what: str) -> SignerUnavailable:
        self._fault = f"signing service {self._name} {what}"
        self._rests_until = self._clock() + REST_SECONDS
        return SignerUnavailable(self._fault)


class RemoteKey:
    """One key of a signing service."""

    __slots__ = ("_point", "_service", "account")

    def __init__(self, service: Web3Signer, point: bytes) -> None:
        self._service = service
        self._point = point
        self.account = signer.address_of_point(point)

    def sign(self, message: bytes) -> bytes:
        """See Signatory."""
        return self._service.sign(self._point, message)
