"""Whose address a call comes from, and what counts as one address where calls are counted."""

from __future__ import annotations

import ipaddress
from functools import lru_cache

UNKNOWN = ""
"""The address of a caller that has none, such as one at a Unix socket."""
ENTRIES_READ_MAX = 64
_LENGTH_MAX = 256
NETWORK_BITS_IPV6 = 64
"""What one customer of a network provider has at the least: addresses within it cost nothing."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def client_address(peer: str, forwarded: str, trusted: int) -> str:
    """The caller's IP address in its shortest form; ``UNKNOWN`` if there is none.

    ``peer`` is who the connection comes from, as ``HOST`` or ``HOST:PORT``, with ``ipv4:`` or ``ipv6:`` in front where
    gRPC says so. ``forwarded`` is what X-Forwarded-For says, several headers joined by commas. ``trusted`` is how many
    proxies stand in front of the node; each writes behind the others' entries who called it, so what stands further
    left is only what the caller says of itself. Without proxies the header counts for nothing.
    """
    hops = [entry.strip() for entry in forwarded.rsplit(",", ENTRIES_READ_MAX)[-trusted:]] if trusted > 0 else []
    # From the outermost proxy that is trusted inwards: one that wrote no address is taken for the caller itself.
    for hop in (*hops, peer):
        address = _address(hop)
        if address is not None:
            return str(address)
    return UNKNOWN


def network_of(address: str) -> str:
    """What to count calls by: an IPv4 address itself, of an IPv6 address the network of 64 bits."""
    parsed = _address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((parsed, NETWORK_BITS_IPV6), strict=False))
    return str(parsed) if parsed is not None else UNKNOWN


def _address(text: str) -> Address | None:
    """What ``_parsed`` says; nothing longer can be an address."""
    return _parsed(text) if len(text) <= _LENGTH_MAX else None


@lru_cache(maxsize=1_024)
def _parsed(text: str) -> Address | None:
    """``1.2.3.4``, ``1.2.3.4:5``, ``2001:db8::1``, ``[2001:db8::1]:5``, also as gRPC names peers; None for others."""
    text = text.removeprefix("ipv4:").removeprefix("ipv6:").replace("%5B", "[").replace("%5D", "]")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def tells_callers_apart(address: str) -> bool:
    """Whether calls may be counted by an address: not by this machine's own.

    Behind a proxy that the operator did not name, everybody would have it.
    """
    parsed = _address(address)
    return parsed is not None and not parsed.is_loopback
