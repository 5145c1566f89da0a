"""What a servicer gets beside the request: where the call came from, and the idempotency key that may have come too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from google.protobuf.message import Message

from node.domain import limits
from node.domain.addresses import client_address
from node.domain.records import User
from node.errors import Reason, invalid
from node.flow.once import KeyedCall, Once

KEY = "idempotency-key"
FORWARDED = "x-forwarded-for"

M = TypeVar("M", bound=Message)


def key_in(metadata: Iterable[tuple[str, Any]]) -> str | None:
    """The idempotency key of a call, if it has one; INVALID_ARGUMENT for one that breaks the rules."""
    given = [value for name, value in metadata if name == KEY]
    if len(given) > 1:
        raise invalid(f"metadata {KEY}", f"{len(given)} values", "one value")
    return limits.idempotency_key(f"metadata {KEY}", given[0]) if given else None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a call came from: the caller's address, and when its user logged in (seconds since 1970; 0 for nobody).

    ``tried`` takes what the audit log is to say of the call if it is refused.
    """

    address: str
    logged_in: int
    tried: dict[str, str] = field(default_factory=dict)


def address_in(peer: str, metadata: Iterable[tuple[str, Any]], trusted_proxies: int) -> str:
    """The caller's address, as ``client_address`` says."""
    said = ",".join(value for name, value in metadata if name == FORWARDED and isinstance(value, str))
    return client_address(peer, said, trusted_proxies)


@dataclass(frozen=True, slots=True)
class Call:
    """What a servicer gets beside the request when its rpc makes something.

    ``duplicate`` is the reason to refuse a key that another request had, ``response`` the class of the rpc's answer,
    ``metadata`` what came with the call, ``origin`` where it came from.
    """

    rpc: str
    key: str | None
    caller: User | None
    request: Any
    duplicate: Reason
    response: Any
    keyed: Once
    origin: Origin
    metadata: Sequence[tuple[str, Any]] = ()

    def once(self, work: Callable[[], M], *, scope: str = "", request: bytes | None = None) -> M:
        """What ``work`` answers, or what a call with the same key was answered before.

        ``work`` runs in a transaction of the index if there is a key, so whatever takes long comes before it. An rpc
        without a caller must say whose key it is (``scope``), a stream what it said (``request``).
        """
        if self.key is None:
            return work()
        if self.caller is not None:
            scope = f"user {self.caller.id}"
        if request is None:
            request = self.request.SerializeToString(deterministic=True)
        assert scope
        call = KeyedCall(self.rpc, scope, self.key, self.caller, self.duplicate)
        answer: M = self.response.FromString(self.keyed.run(call, request, lambda: work().SerializeToString()))
        return answer
