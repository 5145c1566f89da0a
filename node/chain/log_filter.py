"""The filter of eth_getLogs: which logs it lets through, and which blocks can't have any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth.abc import LogAPI
from eth_bloom.bloom import BloomFilter

from node.chain import shape
from node.chain.params import hash32, read_param
from node.chain.transport import INVALID_PARAMS, RpcError

LOG_TOPICS_MAX = 4
LOG_CHOICES_MAX = 1_000

LogFilter = tuple[frozenset[bytes] | None, ...]
"""For each place, what may stand there (None: anything)."""


def any_of(value: Any, read: Callable[[Any], bytes], what: str) -> frozenset[bytes] | None:
    """One value, an array of several of which any will do, or null (or an empty array) for whatever."""
    if value is None or value == []:
        return None
    choices = value if isinstance(value, list) else [value]
    if len(choices) > LOG_CHOICES_MAX:
        raise RpcError(INVALID_PARAMS, f"{what}: want at most {LOG_CHOICES_MAX}, got {len(choices)}")
    return frozenset(read_param(what, each, read, ()) for each in choices)


def topic_filter(value: Any) -> LogFilter:
    places = [] if value is None else read_param("topics", value, shape.array, ())
    if len(places) > LOG_TOPICS_MAX:
        raise RpcError(INVALID_PARAMS, f"topics: want at most {LOG_TOPICS_MAX}, got {len(places)}")
    return tuple(any_of(place, hash32, f"topic {number}") for number, place in enumerate(places))


def may_hold(bloom: int, wanted: LogFilter) -> bool:
    """Whether a bloom filter leaves it open that a log with all this is there. False is certain."""
    bits = BloomFilter(bloom)
    return all(choices is None or any(choice in bits for choice in choices) for choices in wanted)


def matches(entry: LogAPI, addresses: frozenset[bytes] | None, topics: LogFilter) -> bool:
    if addresses is not None and entry.address not in addresses:
        return False
    if len(topics) > len(entry.topics):
        return False
    return all(
        choices is None or topic.to_bytes(32, "big") in choices
        for choices, topic in zip(topics, entry.topics, strict=False)
    )
