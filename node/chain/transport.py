"""One seam for every chain: JSON-RPC itself.

``HttpRpc`` reaches a network over HTTP, ``WebSocketRpc`` (websocket.py) over a WebSocket, and
``EmbeddedChain`` (embedded.py) answers in the process. All take batches of ``(method, params)`` and
give JSON values back; ``Chain`` (rpc.py) makes typed values of them.

HttpRpc speaks HTTP through ``urllib3`` and not through web3's HTTPProvider: a batch there
draws its ids from a counter that the caller doesn't see, sorts the answers and pairs them by
place, so an answer that is missing or doubled goes unseen.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import orjson
import urllib3

BATCH_CALLS_MAX = 100
CONNECTIONS_KEPT = 16
ANSWER_BYTES_MAX = 64 * 1024 * 1024
TIMEOUT_SECONDS = 10.0

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000
LIMIT_EXCEEDED = -32005
EXECUTION_REVERTED = 3

Call = tuple[str, list[Any]]


class ChainUnavailable(Exception):
    """The chain could not be asked, or its answer can't be understood. Trying again later may help."""


class RpcError(Exception):
    """The ``error`` of one JSON-RPC answer: the chain was reached, and refused this call."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(f"{message} ({code})")
        self.code = code
        self.message = message
        self.data = data

    def to_json(self) -> dict[str, Any]:
        """The value of ``error`` in a JSON-RPC answer."""
        body: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


class JsonRpc(Protocol):
    """Something that answers JSON-RPC. Implementations may be called from several threads at once."""

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """The answers to ``calls``, in their order: each the JSON result, or an ``RpcError`` (returned).

        Raises ChainUnavailable when the endpoint can't be reached, took too long or answered
        something that isn't JSON-RPC. Calls of the batch may have taken effect all the same.
        """

    def close(self) -> None:
        """Give back sockets and files. No call may follow."""


class NotAnAnswer(Exception):
    """What an endpoint said answers no request; the message goes on from the endpoint's name."""


def endpoint_name(url: str) -> str:
    """How messages name an endpoint: scheme, host and port, since its path and password may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")


def request_of(calls: Sequence[Call], first: int) -> bytes:
    """The JSON of one request, the calls numbered from ``first`` on. One call alone goes as an object."""
    bodies = [
        {"jsonrpc": "2.0", "id": first + place, "method": method, "params": params}
        for place, (method, params) in enumerate(calls)
    ]
    return json.dumps(bodies[0] if len(bodies) == 1 else bodies, separators=(",", ":")).encode()


def json_of(raw: bytes) -> Any:
    """What an endpoint said, as a JSON value. Raises NotAnAnswer if it is none, or is nested beyond 1,024 levels."""
    try:
        return orjson.loads(raw)
    except ValueError as error:
        raise NotAnAnswer(f"answered {excerpt(raw)}, want JSON") from error


def results_of(answer: Any, first: int, count: int) -> list[Any]:
    """The results (or RpcErrors) of one request in the order of its calls: by their ids, never by their places.

    Raises NotAnAnswer unless each of the ``count`` ids from ``first`` on is answered, once, and no other.
    """
    if isinstance(answer, dict):
        if count > 1 or answer.get("id") is None:
            # one object for a batch, or no id, means that the request as a whole was refused
            refusal = _error_of(answer.get("error"))
            if refusal is None:
                raise NotAnAnswer(f"answered one object for {count} calls, without an error")
            raise NotAnAnswer(f"refused the request: {refusal}")
        answer = [answer]
    if not isinstance(answer, list):
        raise NotAnAnswer(f"answered a JSON {type(answer).__name__}, want an object or an array")
    results: dict[int, Any] = {}
    for item in answer:
        number = item.get("id") if isinstance(item, dict) else None
        if type(number) is not int or not first <= number < first + count or number in results:
            raise NotAnAnswer(f"answered with an id that wasn't asked for, or twice: {_short(number)}")
        if "error" in item and item["error"] is not None:
            found = _error_of(item["error"])
            if found is None:
                raise NotAnAnswer("answered an error without code and message")
            results[number] = found
        elif "result" in item:
            results[number] = item["result"]
        else:
            raise NotAnAnswer("answered neither result nor error")
    if len(results) != count:
        raise NotAnAnswer(f"answered {len(results)} of {count} calls")
    return [results[first + place] for place in range(count)]


class HttpRpc:
    """JSON-RPC over HTTP(S) POST. Sends what it is given once: it never retries and follows no redirect.

    ``timeout_seconds`` bounds each request as a whole, of at most 100 calls each. A single call is
    sent as an object, not as an array, since some endpoints refuse batches. Neither proxies nor
    passwords are taken from the environment: the endpoint that was named is the one that is asked. ``tls`` says
    whom to trust if it is https; None: the system's authorities.
    """

    def __init__(self, url: str, timeout_seconds: float = TIMEOUT_SECONDS, tls: ssl.SSLContext | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"chain endpoint is {url!r}, want http://HOST[:PORT][/PATH] or https://…")
        if timeout_seconds <= 0:
            raise ValueError(f"timeout is {timeout_seconds} seconds, want > 0")
        self._url = url
        self._name = endpoint_name(url)
        self._timeout_seconds = timeout_seconds
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if parts.username is not None:
            named = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers |= urllib3.make_headers(basic_auth=named)
        self._pool = urllib3.PoolManager(num_pools=1, maxsize=CONNECTIONS_KEPT, ssl_context=tls)
        self._lock = threading.Lock()
        self._closed = False
        self._last_id = 0

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """See JsonRpc. More than 100 calls go out in several requests, one after the other."""
        answers: list[Any] = []
        for start in range(0, len(calls), BATCH_CALLS_MAX):
            answers += self._request(calls[start : start + BATCH_CALLS_MAX])
        return answers

    def close(self) -> None:
        self._closed = True
        self._pool.clear()

    def _request(self, calls: Sequence[Call]) -> list[Any]:
        with self._lock:
            first = self._last_id + 1
            self._last_id += len(calls)
        raw = self._post(request_of(calls, first))
        try:
            return results_of(json_of(raw), first, len(calls))
        except NotAnAnswer as fault:
            raise self._unavailable(str(fault)) from fault

    def _post(self, body: bytes) -> bytes:
        """Send one request and read its answer, both within the timeout and the answer within its bound."""
        deadline = time.monotonic() + self._timeout_seconds
        if self._closed:
            raise self._unavailable("was closed by this node")
        response: urllib3.BaseHTTPResponse | None = None
        try:
            response = self._pool.urlopen(
                "POST",
                self._url,
                body=body,
                headers=self._headers,
                timeout=self._timeout_seconds,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            chunks: list[bytes] = []
            length = 0
            # read1 gives what has come, so an endpoint that drips can't outlast the deadline
            while chunk := response.read1(64 * 1024, decode_content=True):
                chunks.append(chunk)
                length += len(chunk)
                if length > ANSWER_BYTES_MAX:
                    raise self._unavailable(f"answered more than {ANSWER_BYTES_MAX} bytes")
                if time.monotonic() > deadline:
                    raise self._unavailable(f"took more than {self._timeout_seconds:g} seconds")
            raw = b"".join(chunks)
            if response.status != 200:
                raise self._unavailable(f"answered HTTP {response.status}: {excerpt(raw)}")
        except BaseException as error:
            if response is not None:
                response.close()  # what is left in it must not be taken for the next answer
            # A connection that was refused is a kind of timeout to the library.
            is_refused = isinstance(error, urllib3.exceptions.NewConnectionError)
            if isinstance(error, urllib3.exceptions.TimeoutError) and not is_refused:
                raise self._unavailable(f"took more than {self._timeout_seconds:g} seconds") from error
            if isinstance(error, (urllib3.exceptions.HTTPError, OSError, ValueError)):
                raise self._unavailable(f"can't be reached ({reason_of(error)})") from error
            raise
        response.release_conn()
        return raw

    def _unavailable(self, what: str) -> ChainUnavailable:
        return ChainUnavailable(f"chain endpoint {self._name} {what}")


def _error_of(value: Any) -> RpcError | None:
    """An RpcError from an answer's ``error``, or None if it isn't one."""
    if not isinstance(value, dict):
        return None
    code, message = value.get("code"), value.get("message")
    if type(code) is not int or not isinstance(message, str):
        return None
    return RpcError(code, message, value.get("data"))


def reason_of(error: BaseException) -> str:
    """Why an endpoint wasn't reached, without the URL that the library's own message would tell."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def excerpt(raw: bytes, length_max: int = 120) -> str:
    """The beginning of what an endpoint answered, fit for a message of one line."""
    text = " ".join(raw[: length_max + 1].decode("utf-8", "replace").split())
    return repr(text if len(raw) <= length_max else text[:length_max] + "…")


def _short(value: Any, length_max: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= length_max else text[:length_max] + "…"
