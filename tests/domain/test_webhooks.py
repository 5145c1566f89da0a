"""Addresses that may be called, signatures as an independent library reads them, and pauses."""

from __future__ import annotations

import datetime
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from node.domain.changes import Cursor, Kept, parse_cursor
from node.domain.webhooks import (
    BACKOFF_SECONDS_MAX,
    checked_url,
    is_public,
    message_id,
    pause_seconds,
    shown_secret,
    signed_headers,
)
from node.errors import VTraceError

SECRETS = st.binary(min_size=32, max_size=32)


@given(SECRETS, st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3), st.integers(0, 2**40))
def test_the_reference_library_takes_every_signature(secret: bytes, content: dict[str, str], number: int) -> None:
    body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    now = int(datetime.datetime.now(datetime.UTC).timestamp())
    headers = signed_headers(secret, message_id(1, "0123abcd", number, number + 1), now, body)
    assert Webhook(shown_secret(secret)).verify(body, headers) == json.loads(body)
    with pytest.raises(WebhookVerificationError):
        Webhook(shown_secret(secret)).verify(body + b" ", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(shown_secret(secret[::-1] + b"x")).verify(body, headers)


@pytest.mark.parametrize(
    "url",
    ["https://example.com", "https://example.com:8443/a/b?c=d", "https://93.184.215.14/x", "https://[2001:db8::1]/"],
)
def test_addresses_that_may_be_called(url: str) -> None:
    assert checked_url(url, is_local=False) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "ftp://example.com",
        "https://",
        "https://user:pw@example.com",
        "https://example.com/#x",
        "https://example.com/a b",
        "https://example.com/\r\nx: y",
        "https://example.com:0",
        "https://example.com:99999",
        "https://[::1",
        "https://exämple.com",
        "https://example.com\\@evil.com",
        "https://example.com/" + "x" * 2_048,
        "http://example.com",
    ],
)
def test_addresses_that_may_not(url: str) -> None:
    with pytest.raises(VTraceError, match=r"^url: "):
        checked_url(url, is_local=False)
    if url != "http://example.com":
        with pytest.raises(VTraceError, match=r"^url: "):
            checked_url(url, is_local=True)


@pytest.mark.parametrize("address", ["93.184.215.14", "8.8.8.8", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_public_addresses(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.255.254",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.18.0.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "feff::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
    ],
)
def test_addresses_that_only_the_node_may_reach(address: str) -> None:
    assert not is_public(address)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_pauses_grow_to_an_hour(failures: int, draw: float) -> None:
    pause = pause_seconds(failures, draw)
    assert 3.75 <= pause <= BACKOFF_SECONDS_MAX
    assert pause_seconds(failures + 1, draw) >= pause
    assert failures < 11 or pause >= 0.75 * BACKOFF_SECONDS_MAX


@given(st.integers(0, 10**18 - 1), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_cursor_is_read_as_it_was_written(number: int, first: int, more: int) -> None:
    cursor = Cursor("0123abcd", number)
    assert parse_cursor(str(cursor)) == cursor
    kept = Kept(Cursor("0123abcd", first), Cursor("0123abcd", first + more))
    assert kept.place(cursor) == (number if first <= number <= first + more else None)
    assert kept.place(Cursor("0123abce", first)) is None
