"""The audit log's rules: what an entry says, how each is chained to the one before, and what goes on chain.

The hash of an entry is ``sha256(hash of the one before ‖ body)``, the body its JSON in one canonical form. Where a call
came from is personal data, so the body holds only a salted digest of it; the address stands beside the chain with its
salt, and can be forgotten without breaking it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

START = bytes(32)
"""What stands for the hash before the first entry."""
SALT_BYTES = 16
_TAG = b"vtrace log 1:"
_NUMBER_BYTES = 8
_HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Happened:
    """Something that the log is to keep. ``at`` is in microseconds since 1970, ``result`` OK or a gRPC status.

    ``who`` is a username, ``operator`` for a command on the node's machine, or empty. ``on`` names what it was about by
    ids, never by anything personal. ``times`` counts equal refusals that were put together; ``request_id`` is then that
    of the first.
    """

    at: int
    who: str
    call: str
    result: str
    reason: str = ""
    on: Mapping[str, object] = field(default_factory=dict)
    address: str = ""
    times: int = 1
    request_id: str = ""


def body_of(number: int, happened: Happened, salt: bytes) -> str:
    """An entry's JSON: keys sorted, nothing that is empty, no spaces."""
    whole: dict[str, object] = {
        "number": number,
        "at": written(happened.at),
        "who": happened.who,
        "call": happened.call,
        "request": happened.request_id,
        "result": happened.result,
        "reason": happened.reason,
        "on": dict(happened.on),
        "from": origin_digest(salt, happened.address) if happened.address else "",
        "times": happened.times if happened.times > 1 else "",
    }
    kept = {name: value for name, value in whole.items() if value not in ("", {})}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def chained(before: bytes, body: str) -> bytes:
    """The hash of an entry that follows the one with the hash ``before``."""
    return sha256(before + body.encode()).digest()


def origin_digest(salt: bytes, address: str) -> str:
    """What an entry says of an address; without the salt nobody can tell which, not even by trying all."""
    return sha256(salt + address.encode()).hexdigest()


def written(micros: int) -> str:
    """A time in UTC, to the microsecond: texts of this form have the order of their times."""
    seconds, rest = divmod(micros, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def micros_of(text: str) -> int:
    """The time again that ``written`` wrote."""
    whole = datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    return int(whole.timestamp()) * 1_000_000 + int(text[20:26])


def anchor_data(number: int, head: bytes) -> bytes:
    """What a transaction carries that puts the log's head on chain."""
    return _TAG + number.to_bytes(_NUMBER_BYTES, "big") + head


def read_anchor(data: bytes) -> tuple[int, bytes] | None:
    """Number and hash of the head that a transaction carries; None if it is none of the log's."""
    if len(data) != len(_TAG) + _NUMBER_BYTES + _HASH_BYTES or not data.startswith(_TAG):
        return None
    rest = data[len(_TAG) :]
    return int.from_bytes(rest[:_NUMBER_BYTES], "big"), rest[_NUMBER_BYTES:]
