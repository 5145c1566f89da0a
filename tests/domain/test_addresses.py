"""The caller's address: whom to believe, and how far."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.domain.addresses import UNKNOWN, client_address, network_of

PEERS = {
    "203.0.113.7": "203.0.113.7",
    "203.0.113.7:4711": "203.0.113.7",
    "ipv4:203.0.113.7:4711": "203.0.113.7",
    "2001:db8::1": "2001:db8::1",
    "2001:DB8:0:0::1": "2001:db8::1",
    "[2001:db8::1]:4711": "2001:db8::1",
    "ipv6:[2001:db8::1]:4711": "2001:db8::1",
    "ipv6:%5B2001:db8::1%5D:4711": "2001:db8::1",
    "ipv6:%5Bfe80::1%25eth0%5D:4711": "fe80::1",
    "::ffff:203.0.113.7": "203.0.113.7",
    "unix:/run/node.sock": UNKNOWN,
    "unknown": UNKNOWN,
    "": UNKNOWN,
}


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_is_an_address_without_its_port(peer: str) -> None:
    assert client_address(peer, "", 0) == PEERS[peer]


@pytest.mark.parametrize("said", ["198.51.100.1", "198.51.100.1, 198.51.100.2", "rubbish", ",,,", ""])
def test_without_proxies_the_header_counts_for_nothing(said: str) -> None:
    assert client_address("203.0.113.7", said, 0) == "203.0.113.7"


FORWARDED = [
    # one proxy: only what it wrote itself counts, the last entry
    ("198.51.100.1", 1, "198.51.100.1"),
    ("1.1.1.1, 198.51.100.1", 1, "198.51.100.1"),
    ("1.1.1.1,2.2.2.2 ,  [2001:db8::9]:80 ", 1, "2001:db8::9"),
    # two: the inner one wrote the outer one's address behind the caller's
    ("1.1.1.1, 198.51.100.1, 192.0.2.1", 2, "198.51.100.1"),
    # fewer entries than proxies: the outermost that is there
    ("198.51.100.1", 2, "198.51.100.1"),
    # a proxy that wrote no address, or no header: what is known further in
    ("198.51.100.1, unknown", 1, "203.0.113.7"),
    ("unknown, 192.0.2.1", 2, "192.0.2.1"),
    ("", 1, "203.0.113.7"),
]


@pytest.mark.parametrize(("said", "trusted", "wanted"), FORWARDED)
def test_as_many_entries_count_as_there_are_proxies(said: str, trusted: int, wanted: str) -> None:
    assert client_address("203.0.113.7", said, trusted) == wanted


@given(
    lies=st.lists(st.text(st.characters(codec="latin-1"), max_size=20).map(lambda s: s.replace(",", "")), max_size=5),
    caller=st.ip_addresses(),
    inner=st.lists(st.ip_addresses(), max_size=4),
)
def test_nothing_that_a_caller_writes_changes_its_address(lies: list[str], caller: object, inner: list[object]) -> None:
    header = ", ".join([*lies, str(caller), *map(str, inner)])
    expected = client_address(str(caller), "", 0)
    assert client_address("203.0.113.7", header, len(inner) + 1) == expected


def test_addresses_are_counted_by_what_one_caller_has() -> None:
    assert network_of("203.0.113.7") == "203.0.113.7"
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert network_of("2001:db8:1:3::9") != network_of("2001:db8:1:2::9")
    assert network_of(UNKNOWN) == UNKNOWN
