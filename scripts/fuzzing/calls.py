"""Calls over gRPC: requests made from the descriptors, as everybody, and bytes in their place."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import grpc
from google.protobuf.message import Message
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from scripts.fuzzing.cast import Cast
from scripts.fuzzing.mutate import changed
from scripts.fuzzing.tally import Tally, shown
from scripts.fuzzing.values import METHODS, ROLES, Requests

IN_FLIGHT_MAX = 32
ANSWER_SECONDS_MAX = 120
WATCH_SECONDS = 0.5
DRAWN_AT_ONCE = 8
EXAMPLES = 64
CORPUS = 400
OWN = ("DeleteUser", "UpdateUser", "IdentityAuth", "OrgAuth", "SetAccount")
"""What changes the caller itself: done by users who are there for it."""
OTHERS_METHODS = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "/vtrace.v1.VTraceInterface/NoSuchRpc",
    "/",
)
Metadata = Sequence[tuple[str, str | bytes]]

_METADATA: tuple[Metadata, ...] = (
    *((),) * 12,
    (("idempotency-key", "one"),),
    (("idempotency-key", "one"), ("idempotency-key", "two")),
    (("idempotency-key", " " * 200),),
    (("vtrace-signature-bin", b"\x00" * 65), ("vtrace-salt-bin", b"\x01" * 16)),
    (("vtrace-signature-bin", b"\x1b" * 65), ("vtrace-salt-bin", b"\x01" * 16), ("vtrace-version", "9" * 18)),
    (("vtrace-salt-bin", b""), ("vtrace-version", "-1")),
    (("grpc-timeout-like", "1S"), ("x-forwarded-for", "::1, a")),
)


class Asking:
    """One request as it goes out."""

    __slots__ = ("content", "metadata", "role", "rpc", "streams", "token")

    def __init__(self, rpc: str, role: str, token: str, content: list[bytes], metadata: Metadata) -> None:
        self.rpc = rpc
        self.role = role
        self.token = token
        self.content = content
        self.metadata = metadata

    @property
    def path(self) -> str:
        if self.rpc.startswith("/"):
            return self.rpc
        return f"/{METHODS[self.rpc].containing_service.full_name}/{self.rpc}"

    @property
    def watches(self) -> bool:
        """Whether the node may go on answering for as long as it is asked."""
        return self.rpc in METHODS and bool(METHODS[self.rpc].server_streaming)

    def told(self) -> str:
        return f"{self.rpc} as {self.role}, {list(self.metadata)}, {' then '.join(map(shown, self.content))}"


class Line:
    """A channel to the node with a bounded number of calls under way."""

    def __init__(self, address: str) -> None:
        options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.insecure_channel(address, options=options)
        self._places = threading.BoundedSemaphore(IN_FLIGHT_MAX)
        self._lock = threading.Lock()

    def one(self, asking: Asking) -> tuple[str, str]:
        """Send, wait, and answer status and message."""
        call, ended = self._begin(asking), threading.Event()
        call.add_done_callback(lambda _: ended.set())
        if not ended.wait(ANSWER_SECONDS_MAX + 5):
            call.cancel()
            return "UNANSWERED", "no answer"
        return _status(asking, call), str(call.details())

    def send(self, asking: Asking, tally: Tally, kind: str, place: str) -> None:
        """Send, and count the answer when it comes. Waits only for a place."""
        self._places.acquire()

        def ended(call: Any) -> None:
            with self._lock:
                tally.add(kind, _status(asking, call), f"{place}: {asking.told()}: {call.details()}")
            self._places.release()

        self._begin(asking).add_done_callback(ended)

    def close(self) -> None:
        """Wait for what is under way, then close."""
        for _ in range(IN_FLIGHT_MAX):
            self._places.acquire(timeout=ANSWER_SECONDS_MAX + 5)
        self._channel.close()

    def _begin(self, asking: Asking) -> Any:
        metadata = [*asking.metadata]
        if asking.token:
            metadata.append(("authorization", f"Bearer {asking.token}"))
        if asking.watches:
            listen = self._channel.unary_stream(asking.path)
            return listen(asking.content[0], timeout=WATCH_SECONDS, metadata=metadata)
        if len(asking.content) == 1 and asking.rpc != "Upload":
            stub = self._channel.unary_unary(asking.path)
            return stub.future(asking.content[0], timeout=ANSWER_SECONDS_MAX, metadata=metadata)
        stream = self._channel.stream_unary(asking.path)
        return stream.future(iter(asking.content), timeout=ANSWER_SECONDS_MAX, metadata=metadata)


def _status(asking: Asking, call: Any) -> str:
    name = str(call.code().name)
    return "open" if asking.watches and name == "DEADLINE_EXCEEDED" else name


def drawn(cast: Cast, seed: int, count: int) -> Iterator[Asking]:
    """So many requests, drawn from the descriptors; the same ones for the same seed."""
    requests = Requests(cast)
    metadata = st.sampled_from(_METADATA)
    one = requests.rpcs.flatmap(
        lambda rpc: st.tuples(
            st.just(rpc),
            requests.callers,
            metadata,
            st.integers(0, len(cast.expendable) - 1),
            st.lists(requests.strategy(rpc), max_size=3) if METHODS[rpc].client_streaming else requests.strategy(rpc),
        )
    )
    made = 0
    while made < count:
        found = _examples(st.lists(one, min_size=DRAWN_AT_ONCE, max_size=DRAWN_AT_ONCE), seed * 1_000_003 + made)
        yield from (_asking(cast, *each) for each in found[: count - made])
        made += len(found)


def _examples(strategy: st.SearchStrategy[list[Any]], seed: int) -> list[Any]:
    found: list[Any] = []

    @seeded(seed)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(each: list[Any]) -> None:
        found.extend(each)

    draw()
    return found


def _asking(cast: Cast, rpc: str, role: str, metadata: Metadata, number: int, given: Message | list[Message]) -> Asking:
    token = cast.tokens[role]
    if rpc in OWN and token and not (role == "admin" and _named(given) in dict(cast.expendable)):
        role, token = "expendable", cast.expendable[number][1]
    messages = given if isinstance(given, list) else [given]
    return Asking(rpc, role, token, [one.SerializeToString() for one in messages], metadata)


def _named(request: Any) -> str:
    if "user" in request.DESCRIPTOR.fields_by_name:
        return str(request.user.username.value)
    return str(getattr(request, "username", ""))


def broken(cast: Cast, seed: int, count: int) -> Iterator[Asking]:
    """So many requests whose bytes were changed, or that go to another rpc than they were made for."""
    chance = Random(seed)
    corpus = list(drawn(cast, seed, CORPUS))
    names = [name for name in METHODS if name not in (*OWN, "Register", "Token")]
    for _ in range(count):
        asking = chance.choice(corpus)
        rpc = asking.rpc if asking.rpc in names else chance.choice(names)
        if chance.random() < 0.2:
            rpc = chance.choice(names)
        if chance.random() < 0.02:
            rpc = chance.choice(OTHERS_METHODS)
        role = chance.choice(ROLES)
        content = [changed(one, chance) for one in asking.content] or [b""]
        if rpc != "Upload":
            content = content[:1]
        yield Asking(rpc, role, cast.tokens[role], content, asking.metadata)
