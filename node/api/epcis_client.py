"""A client of EPCIS's capture interface, which repeats what may have got lost."""

from __future__ import annotations

import http.client
import json
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from node.domain import bounded_json
from node.errors import shown

TIMEOUT_SECONDS = 120
TRIES = 5
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.5, 30.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024
AGAIN = (408, 429, 500, 502, 503, 504)
NUMBER_DIGITS_MAX = 12


class NotReached(Exception):
    """The node can't be reached, or what answers is none; the message says why."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the node answered: HTTP status, headers in lower case, and the JSON, None if it is no JSON."""

    status: int
    headers: dict[str, str]
    json: Any


class CaptureClient:
    """Speaks to a node at a base URL. ``pause`` waits some seconds before a call is tried again.

    ``tls`` says whom to trust if it is https, and who calls; None: the system's authorities, nobody.
    """

    def __init__(
        self, url: str, pause: Callable[[float], None] = time.sleep, tls: ssl.SSLContext | None = None
    ) -> None:
        parts = urlsplit(url)
        self._is_https = parts.scheme == "https"
        self._tls = tls
        self._host = parts.netloc
        self._path = parts.path.rstrip("/")
        self._pause = pause
        self._token = ""  # nosec B105: no token yet

    def log_in(self, phone: str, password: str) -> Answered:
        """Take the token of a user."""
        body = json.dumps({"phone": phone, "password": password}).encode()
        answer = self._repeated("POST", "/api/v1/token", body)
        if answer.status == 200 and isinstance(answer.json, dict) and isinstance(answer.json.get("token"), str):
            self.use(answer.json["token"])
        return answer

    def use(self, token: str) -> None:
        """Call with a token from now on."""
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise NotReached("the token: want what Token answers")
        self._token = token

    def limits(self) -> tuple[int, int]:
        """How many events, and how many bytes, the node takes in one document."""
        answer = self._repeated("OPTIONS", "/epcis/capture", None)
        found = []
        for name in ("gs1-epcis-capture-limit", "gs1-epcis-capture-file-size-limit"):
            value = answer.headers.get(name, "")
            if not (value.isascii() and value.isdigit() and len(value) <= NUMBER_DIGITS_MAX and int(value)):
                raise NotReached(f"it has no capture interface of EPCIS 2.0 ({name}: {shown(value or 'missing')})")
            found.append(int(value))
        return found[0], found[1]

    def capture(self, body: bytes) -> Answered:
        """Send one document, again while its answer gets lost: with one key, so that it is done once."""
        return self._repeated("POST", "/epcis/capture", body, {"Idempotency-Key": secrets.token_hex(16)})

    def events(self, asked: Sequence[tuple[str, str]]) -> Answered:
        """One page of the events of a query."""
        return self._repeated("GET", f"/epcis/events?{urlencode(asked)}", None)

    def _repeated(self, method: str, path: str, body: bytes | None, more: dict[str, str] | None = None) -> Answered:
        pause = PAUSE_SECONDS
        for left in reversed(range(TRIES)):
            try:
                answer = self._once(method, path, body, more or {})
            except (OSError, http.client.HTTPException) as fault:
                if not left:
                    raise NotReached(f"{fault or type(fault).__name__}") from fault
            else:
                if answer.status not in AGAIN or not left:
                    return answer
                advice = answer.headers.get("retry-after", "")
                if advice.isascii() and advice.isdigit() and len(advice) <= NUMBER_DIGITS_MAX:
                    pause = max(pause, float(advice))
            self._pause(min(pause, PAUSE_SECONDS_MAX))
            pause *= 2
        raise AssertionError("unreachable")

    def _once(self, method: str, path: str, body: bytes | None, more: dict[str, str]) -> Answered:
        connection = (
            http.client.HTTPSConnection(self._host, timeout=TIMEOUT_SECONDS, context=self._tls)
            if self._is_https
            else http.client.HTTPConnection(self._host, timeout=TIMEOUT_SECONDS)
        )
        try:
            headers = {**more, **({"Authorization": f"Bearer {self._token}"} if self._token else {})}
            if body is not None:
                headers["Content-Type"] = "application/json"
            connection.request(method, self._path + path, body, headers)
            response = connection.getresponse()
            content = response.read(ANSWER_BYTES_MAX + 1)
            if len(content) > ANSWER_BYTES_MAX:
                raise NotReached(f"{path}: an answer of more than {ANSWER_BYTES_MAX} bytes")
            given = {name.lower(): value for name, value in response.getheaders()}
            return Answered(response.status, given, _json(content))
        finally:
            connection.close()


def _json(content: bytes) -> Any:
    try:
        return bounded_json.loads(content)
    except ValueError:
        return None
