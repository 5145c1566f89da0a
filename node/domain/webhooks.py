"""Webhooks: which addresses may be called, how a delivery is signed (Standard Webhooks), and when it is tried again."""

from __future__ import annotations

import base64
import hmac
import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from node.domain.changes import Cursor
from node.errors import invalid

URL_LENGTH_MAX = 2_048
WEBHOOKS_OF_ORG_MAX = 5
SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # nosec B105: what follows is the secret
BATCH_MAX = 100
BATCH_GOODS_MAX = 10_000
"""A batch is cut behind the change with which it has so many goods."""
BACKOFF_SECONDS_FIRST = 5.0
BACKOFF_SECONDS_MAX = 3_600.0
FAILING_MICROS_MAX = 3 * 86_400 * 1_000_000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Webhook:
    """One webhook. All up to ``cursor`` was taken; times are microseconds since 1970."""

    id: int
    org_id: int
    url: str
    cursor: Cursor
    batch_end: int | None
    created_at: int
    failing_since: int | None
    failures: int
    next_at: int
    last_error: str
    disabled_at: int | None

    @property
    def shown_cursor(self) -> Cursor:
        """Where another webhook could go on."""
        return Cursor(self.cursor.epoch, max(0, self.cursor.number))

    @property
    def state(self) -> str:
        """``active``, ``failing`` or ``disabled``."""
        if self.disabled_at is not None:
            return "disabled"
        return "active" if self.failing_since is None else "failing"


def checked_url(url: str, *, is_local: bool) -> str:
    """An address that deliveries may go to; http too where the operator allows local ones."""
    schemes = ("https", "http") if is_local else ("https",)
    want = f"an {' or '.join(schemes)} URL of at most {URL_LENGTH_MAX} characters, without user, password or fragment"
    try:
        parts = urlsplit(url)
        fits = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and _is_plain(url, parts)
    except ValueError:
        fits = False
    if not fits:
        raise invalid("url", url, want)
    return url


def _is_plain(url: str, parts: SplitResult) -> bool:
    is_text = url.isascii() and url.isprintable() and " " not in url and len(url) <= URL_LENGTH_MAX
    return is_text and "@" not in parts.netloc and "#" not in url and "\\" not in url


def is_public(address: str) -> bool:
    """Whether an IP address is of the public internet: not private, loopback, link-local, multicast or reserved.

    An IPv6 address that stands for an IPv4 one is judged as that.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:  # fec0::/10 is private, though no longer given out
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def shown_secret(secret: bytes) -> str:
    """A secret as its owner is told it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signed_headers(secret: bytes, message_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """The headers of one try: id, time in seconds since 1970, and HMAC-SHA256 over both and the body."""
    signed = f"{message_id}.{seconds}.".encode() + body
    signature = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(seconds), "webhook-signature": f"v1,{signature}"}


def message_id(webhook_id: int, epoch: str, after: int, upto: int) -> str:
    """The id of the batch behind ``after`` and up to ``upto``: the same at every try."""
    return f"msg_{webhook_id}_{epoch}_{after}_{upto}"


def pause_seconds(failures: int, draw: float) -> float:
    """How long to wait after so many failures in a row; ``draw`` from 0 to 1 spreads those that failed together."""
    whole = min(BACKOFF_SECONDS_FIRST * 2.0 ** min(failures - 1, 20), BACKOFF_SECONDS_MAX)
    return whole * (0.75 + 0.25 * draw)
