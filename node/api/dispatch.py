"""Every rpc behind one authentication, one table and one error path, however the call came."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, TypeVar

from node import calling
from node.api import fields
from node.api.auth import Session
from node.api.call import Call, Origin, address_in, key_in
from node.api.certificate import Callers
from node.api.observe import Calls
from node.api.outgoing import Outgoing, Page
from node.api.services import SERVICES, message_class
from node.api.streams import Incoming
from node.api.witness import Seen, Witness
from node.domain.access import ACCESS, Access, hold_role, hold_self
from node.errors import IndexUnavailable, Reason, SignerUnavailable, Status, VTraceError
from node.faults import point
from node.flow.once import Once
from node.flow.rates import Rates, TooOften
from node.later import Later, Steps, waited_for
from node.request_id import current, working_for

RETRY_SECONDS = 5

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as it came.

    ``read`` gives the request, or an iterator of a stream's messages, and raises VTraceError for what is none.
    ``metadata`` has lower-case names, and bytes for names that end in -bin. ``is_there`` tells whether the caller
    still waits for the answer. ``peer`` is who the connection comes from, as ``client_address`` takes it;
    ``certificate`` the client's, DER or PEM, if TLS has verified one; ``request_id`` as node/request_id.py has it.
    """

    read: Callable[[], Any]
    metadata: Sequence[tuple[str, str | bytes]]
    is_there: Callable[[], bool]
    peer: str
    certificate: bytes | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Door:
    """What every call passes first: who calls, how often, and behind how many proxies; and where calls are counted."""

    callers: Callers
    rates: Rates
    trusted_proxies: int = 0
    calls: Calls = field(default_factory=Calls)

    def enter(self, peer: str, metadata: Iterable[tuple[str, str | bytes]], access: Access, request_id: str) -> Seen:
        """What is known of a call that comes in; TooOften if its address has called too often."""
        seen = Seen(address_in(peer, metadata, self.trusted_proxies), request_id)
        self.rates.from_address(access.rate, seen.address)
        return seen

    def session(
        self,
        metadata: Iterable[tuple[str, str | bytes]],
        certificate: bytes | None,
        access: Access,
        name: str,
        seen: Seen,
    ) -> Session:
        """Who calls, once it is known, may call now and has one of the row's roles.

        ``seen`` learns it also of one who has none.
        """
        session = self.callers.session(_authorization(metadata), certificate)
        seen.who = session.user.username
        calling.is_of(seen.who)
        self.rates.from_user(access.rate, session.user.id)
        hold_role(access, session.user, name)
        point("authenticated")
        return session


class Rpc:
    """One rpc: counts, authenticates, holds its row of the table, answers; every fault becomes a VTraceError."""

    def __init__(self, method: Any, servicers: Sequence[Any], door: Door, once: Once, witness: Witness) -> None:
        self.method = method
        self.name: str = method.name
        self.request_class = message_class(method.input_type)
        self.response_class = message_class(method.output_type)
        if self.name not in ACCESS:
            raise AssertionError(f"rpc {self.name} has no row in the table of node/domain/access.py")
        self.access = ACCESS[self.name]
        self._named = attrgetter(self.access.names) if self.access.names else None
        servicer = next((one for one in servicers if hasattr(one, self.name)), None)
        if servicer is None:
            raise AssertionError(f"rpc {self.name} has no servicer")
        self._servicer = servicer
        self._work: Callable[..., Any] = getattr(servicer, self.name)
        self._failed: Reason = servicer.failed
        self._door = door
        self._once = once
        self._witness = witness
        self._counted = door.calls.counted(self.name)
        # The servicer of an rpc that makes something asks for the Call, and makes it once.
        wanted = inspect.signature(self._work).parameters
        self.makes_something = "call" in wanted
        self._wants_origin = "origin" in wanted
        self.is_quick = self.name in getattr(servicer, "quick", ())
        self.wants_address = "address" in wanted

    def answer(self, asked: Asked) -> Any:
        """The answer of one call, an Outgoing if it is a stream. Blocks for as long as the work takes.

        VTraceError is all that it raises.
        """
        return waited_for(self.steps(asked))

    def steps(self, asked: Asked) -> Steps[Any]:
        """``answer`` in steps: goes on when what it yields is over. Each blocks as long as it must, if not for that."""
        with self._door.calls.of(self.name, self._counted, asked.request_id, asked.metadata):
            return (yield from self._witnessed(asked))

    def _witnessed(self, asked: Asked) -> Steps[Any]:
        seen = self._door.enter(asked.peer, asked.metadata, self.access, asked.request_id)
        try:
            answered = guarded(self.name, self._failed, lambda: self._answer(asked, seen))
            if isinstance(answered, Later):
                yield answered
                answered = guarded(self.name, self._failed, answered.got)
        except TooOften:
            raise  # not for the audit log, which anybody could fill with these
        except VTraceError as fault:
            self._witness.refused(self.name, seen, fault)
            raise
        if self.makes_something:
            point("committed")
        self._witness.answered(self.name, seen, answered)
        return answered

    def take(self, outgoing: Outgoing, request_id: str) -> Page:
        """What the stream of a call has to say now; VTraceError is all that it raises."""
        with working_for(request_id):
            return guarded(self.name, self._failed, outgoing.take)

    def _answer(self, asked: Asked, seen: Seen) -> Any:
        caller, logged_in = None, 0
        if not self.access.open_to_anyone:
            session = self._door.session(asked.metadata, asked.certificate, self.access, self.name, seen)
            caller, logged_in = session.user, session.logged_in
        given = seen.given = self._read(asked)
        if caller is not None and self._named is not None:
            hold_self(caller, self._named(given), self.access.others)
        origin = Origin(seen.address, logged_in, seen.tried)
        arguments: list[Any] = [] if caller is None else [caller]
        arguments.append(Incoming(given, asked.is_there) if self.method.client_streaming else given)
        if self.wants_address:
            arguments.append(origin.address)
        if self.makes_something:
            keyed = (self.name, key_in(asked.metadata), caller, given)
            made = (self._servicer.duplicate, self.response_class, self._once)
            arguments.append(Call(*keyed, *made, origin=origin, metadata=asked.metadata))
        elif self._wants_origin:
            arguments.append(origin)
        return self._work(*arguments)

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
        log.exception("%s failed: request %s", name, current())
        inside = f"{name} failed inside the node; its log says why: request {current()}"
        raise VTraceError(failed, inside, status=Status.INTERNAL) from fault


def all_rpcs(servicers: Sequence[Any], door: Door, once: Once, witness: Witness) -> list[Rpc]:
    """The rpcs of all services, each of which must have a servicer and a row in the table of access."""
    if missing := fields.missing_rows():
        raise AssertionError(f"no row in the table of node/api/fields.py: {', '.join(missing)}")
    methods = [method for service in SERVICES for method in service.methods]
    return [Rpc(method, servicers, door, once, witness) for method in methods]


def _authorization(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    return next((value for name, value in metadata if name == "authorization" and isinstance(value, str)), None)
