"""Every rpc behind one authentication, one table and one error path, however the call came."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from node.api import fields
from node.api.auth import ANYONE, NEEDS, Tokens, require
from node.api.call import Call, key_in
from node.api.services import SERVICES, message_class
from node.api.streams import Incoming
from node.domain.records import User
from node.domain.roles import Role
from node.errors import IndexUnavailable, Reason, SignerUnavailable, Status, VTraceError
from node.faults import point
from node.flow.once import Once

RETRY_SECONDS = 5

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as it came.

    ``read`` gives the request, or an iterator of a stream's messages, and raises VTraceError for what is none.
    ``metadata`` has lower-case names, and bytes for names that end in -bin. ``is_there`` tells whether the caller
    still waits for the answer.
    """

    read: Callable[[], Any]
    metadata: Sequence[tuple[str, str | bytes]]
    is_there: Callable[[], bool]


class Rpc:
    """One rpc: authenticates, holds its row of the table, answers; every fault becomes a VTraceError."""

    def __init__(self, method: Any, servicers: Sequence[Any], tokens: Tokens, once: Once) -> None:
        self.method = method
        self.name: str = method.name
        self.request_class = message_class(method.input_type)
        self.response_class = message_class(method.output_type)
        if self.name not in NEEDS:
            raise AssertionError(f"rpc {self.name} has no row in the table of roles")
        self.needs = NEEDS[self.name]
        servicer = next((one for one in servicers if hasattr(one, self.name)), None)
        if servicer is None:
            raise AssertionError(f"rpc {self.name} has no servicer")
        self._servicer = servicer
        self._work: Callable[..., Message] = getattr(servicer, self.name)
        self._failed: Reason = servicer.failed
        self._tokens = tokens
        self._once = once
        # The servicer of an rpc that makes something asks for the Call, and makes it once.
        self.makes_something = "call" in inspect.signature(self._work).parameters

    def answer(self, asked: Asked) -> Message:
        """The answer of one call; VTraceError is all that it raises. Blocks for as long as the work takes."""
        return guarded(self.name, self._failed, lambda: self._answer(asked))

    def _answer(self, asked: Asked) -> Message:
        caller = None
        if self.needs is not ANYONE:
            caller = caller_of(self._tokens, asked.metadata, self.needs, self.name)
        given = self._read(asked)
        arguments: list[Any] = [] if caller is None else [caller]
        arguments.append(Incoming(given, asked.is_there) if self.method.client_streaming else given)
        if self.makes_something:
            keyed = (self.name, key_in(asked.metadata), caller, given)
            made = (self._servicer.duplicate, self.response_class, self._once)
            arguments.append(Call(*keyed, *made, metadata=asked.metadata))
        answered = self._work(*arguments)
        if self.makes_something:
            point("committed")
        return answered

    def _read(self, asked: Asked) -> Any:
        given = asked.read()
        return map(fields.held, given) if self.method.client_streaming else fields.held(given)


def guarded(name: str, failed: Reason, work: Callable[[], T]) -> T:
    """What ``work`` answers; VTraceError, with the reason ``failed`` for what is nobody's mistake, is all it raises."""
    try:
        return work()
    except VTraceError:
        raise
    except IndexUnavailable as fault:
        log.exception("%s found no index", name)
        raise VTraceError(
            failed,
            "the node's index is busy: try again",
            status=Status.UNAVAILABLE,
            retry_seconds=RETRY_SECONDS,
        ) from fault
    except SignerUnavailable as fault:
        log.warning("%s: %s", name, fault)
        raise VTraceError(
            failed,
            "what signs the node's transactions is away, and nothing was recorded: try again",
            status=Status.UNAVAILABLE,
            retry_seconds=RETRY_SECONDS,
        ) from fault
    except Exception as fault:
        log.exception("%s failed", name)
        raise VTraceError(failed, f"{name} failed inside the node; its log says why", status=Status.INTERNAL) from fault


def caller_of(tokens: Tokens, metadata: Iterable[tuple[str, str | bytes]], needs: Iterable[Role], name: str) -> User:
    """Who calls, once it is known and has one of the roles."""
    caller = tokens.caller(_authorization(metadata))
    require(caller, needs, name)
    point("authenticated")
    return caller


def all_rpcs(servicers: Sequence[Any], tokens: Tokens, once: Once) -> list[Rpc]:
    """The rpcs of all services, each of which must have a servicer and a row in the table of roles."""
    if missing := fields.missing_rows():
        raise AssertionError(f"no row in the table of fields: {', '.join(missing)}")
    return [Rpc(method, servicers, tokens, once) for service in SERVICES for method in service.methods]


def _authorization(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    return next((value for name, value in metadata if name == "authorization" and isinstance(value, str)), None)
