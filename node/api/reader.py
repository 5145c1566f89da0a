"""Reads beside the rpcs that only some may make: who reads, how often, and the audit log's entry of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from node.api.call import address_in
from node.api.dispatch import Door
from node.api.witness import Seen, Witness
from node.domain.rates import Rate
from node.domain.records import User
from node.errors import VTraceError
from node.flow.rates import TooOften

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Reader:
    """Lets callers read what is not everybody's. ``name`` is what the log calls it."""

    name: str
    door: Door
    witness: Witness

    def read(
        self,
        peer: str,
        headers: Sequence[tuple[str, str]],
        certificate: bytes | None,
        request_id: str,
        work: Callable[[User], tuple[T, int]],
    ) -> T:
        """What ``work`` answers to the caller, once it is known and may read now.

        ``work`` also says how much that was. ``headers`` have lower-case names.
        """
        seen = Seen(address_in(peer, headers, self.door.trusted_proxies), request_id)
        try:
            authorization = next((value for name, value in headers if name == "authorization"), None)
            caller = self.door.callers.session(authorization, certificate).user
            seen.who = caller.username
            self.door.rates.from_user(Rate.HEAVY_READ, caller.id)
            answer, count = work(caller)
        except TooOften:
            raise
        except VTraceError as fault:
            self.witness.refused(self.name, seen, fault)
            raise
        self.witness.read(self.name, seen, count)
        return answer
