"""The chain by one endpoint, or by several that must all agree.

Whoever asks one endpoint believes it. Whoever asks several, of different owners, believes what all of them say, and is
told where one says otherwise, with the names of both: which of them lies can't be seen from here.

Endpoints of one chain are not at the same block at every moment. The head is therefore that of the endpoint that is
furthest behind, whose block all others must have; what is mined behind it may be known to some of them only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from node.chain.rpc import (
    Block,
    BlockCalls,
    CallReverted,
    Chain,
    ChainUnavailable,
    Log,
    Receipt,
    Topic,
    Transaction,
)
from node.flow.audit.shown import AuditImpossible

T = TypeVar("T")
HEAD_SECONDS = (0.2, 1.0, 3.0)
"""Pauses before endpoints that differ in a block are asked once more: one of them may be about to drop it."""


class ChainView(Protocol):
    """What an audit asks of a chain; see node.chain.rpc.Chain, which is one."""

    def chain_id(self) -> int: ...
    def head(self) -> Block: ...
    def block(self, number: int) -> Block | None: ...
    def calls_to(self, address: str, from_block: int, to_block: int) -> list[BlockCalls]: ...
    def receipts(self, hashes: Sequence[str]) -> list[Receipt | None]: ...
    def transactions(self, hashes: Sequence[str]) -> list[Transaction | None]: ...
    def logs(self, address: str | None, topics: Sequence[Topic], from_block: int, to_block: int) -> list[Log]: ...
    def code(self, address: str, block: int | str = "latest") -> bytes: ...
    def calls(self, calls: Sequence[tuple[str, bytes]], block: int | str = "latest") -> list[bytes | CallReverted]: ...


class EndpointsDisagree(ChainUnavailable):
    """Two endpoints say different things of the same; the message names both."""


class AgreedChain:
    """Several endpoints as one chain. ``endpoints`` are names, which messages show, with chains; two at least."""

    def __init__(self, endpoints: Sequence[tuple[str, Chain]], pause: Callable[[float], None] = time.sleep) -> None:
        self._endpoints = list(endpoints)
        self._pause = pause
        self._head = 0

    def chain_id(self) -> int:
        return self._same("the chain id", lambda chain: chain.chain_id(), str)

    def head(self) -> Block:
        """The newest block that all have. EndpointsDisagree if they have another at its height for good."""
        for seconds in (*HEAD_SECONDS, None):
            lowest = min((chain.head() for _, chain in self._endpoints), key=lambda block: block.number)
            try:
                found = self.block(lowest.number)
            except EndpointsDisagree:
                if seconds is None:
                    raise
                self._pause(seconds)
                continue
            if found is not None:
                self._head = found.number
                return found
        raise ChainUnavailable("the endpoints drop blocks again and again: try when the chain is calm")

    def block(self, number: int) -> Block | None:
        return self._same(
            f"block {number}",
            lambda chain: chain.block(number),
            lambda block: "no block" if block is None else block.hash,
            key=lambda block: None if block is None else (block.number, block.hash),
        )

    def calls_to(self, address: str, from_block: int, to_block: int) -> list[BlockCalls]:
        answers = [chain.calls_to(address, from_block, to_block) for _, chain in self._endpoints]
        common = min(map(len, answers))
        kept = iter([answer[:common] for answer in answers])
        return self._same(
            f"the contract's transactions in blocks {from_block} to {from_block + common - 1}",
            lambda _: next(kept),
            lambda found: f"{sum(len(each.sent) for each in found)} in blocks up to {found[-1].block.hash}",
            key=lambda found: [
                (each.block.number, each.block.hash, each.block.parent_hash, each.sent) for each in found
            ],
        )

    def receipts(self, hashes: Sequence[str]) -> list[Receipt | None]:
        """What is mined behind the head, or not at all, may be known to some endpoints only."""
        answers = [chain.receipts(hashes) for _, chain in self._endpoints]
        return [
            self._latest(
                f"the receipt of {tx_hash}",
                several,
                lambda found: found if found.block_number <= self._head else None,
                lambda found: f"status {found.status} in block {found.block_hash} with {len(found.logs)} logs",
            )
            for tx_hash, *several in zip(hashes, *answers, strict=True)
        ]

    def transactions(self, hashes: Sequence[str]) -> list[Transaction | None]:
        answers = [chain.transactions(hashes) for _, chain in self._endpoints]
        return [
            self._latest(
                f"the transaction {tx_hash}",
                several,
                lambda found: found if found.block_number is not None and found.block_number <= self._head else None,
                lambda found: f"one of {found.sender} in block {found.block_number}",
            )
            for tx_hash, *several in zip(hashes, *answers, strict=True)
        ]

    def logs(self, address: str | None, topics: Sequence[Topic], from_block: int, to_block: int) -> list[Log]:
        return self._same(
            f"the contract's events in blocks {from_block} to {to_block}",
            lambda chain: chain.logs(address, topics, from_block, to_block),
            lambda found: f"{len(found)} events",
        )

    def code(self, address: str, block: int | str = "latest") -> bytes:
        return self._same(
            f"the code at {address}", lambda chain: chain.code(address, block), lambda code: f"{len(code)} bytes"
        )

    def calls(self, calls: Sequence[tuple[str, bytes]], block: int | str = "latest") -> list[bytes | CallReverted]:
        return self._same(
            f"what the contract answers at block {block}",
            lambda chain: chain.calls(calls, block),
            lambda found: f"{len(found)} answers",
            key=lambda found: [("reverted", each.data) if isinstance(each, CallReverted) else each for each in found],
        )

    def _same(
        self,
        what: str,
        ask: Callable[[Chain], T],
        show: Callable[[T], str],
        key: Callable[[T], object] = lambda answer: answer,
    ) -> T:
        """The answer that all give. ``show`` says what one answers, in a few words."""
        (first_name, first_chain), *others = self._endpoints
        first = ask(first_chain)
        for name, chain in others:
            other = ask(chain)
            if key(other) != key(first):
                raise _disagree(what, first_name, show(first), name, show(other))
        return first

    def _latest(
        self, what: str, answers: Sequence[T | None], settled: Callable[[T], T | None], show: Callable[[T], str]
    ) -> T | None:
        """The answer that all give of what is settled at the head, else the one of whoever knows something."""
        told = [None if answer is None else settled(answer) for answer in answers]
        for (name, _), answer in zip(self._endpoints, told, strict=True):
            if answer != told[0]:
                shown = ["nothing" if each is None else show(each) for each in (told[0], answer)]
                raise _disagree(what, self._endpoints[0][0], shown[0], name, shown[1])
        return told[0] if told[0] is not None else next((answer for answer in answers if answer is not None), None)


def _disagree(what: str, first_name: str, first: str, name: str, other: str) -> EndpointsDisagree:
    if first == other:
        other = "as many, but others"
    return EndpointsDisagree(f"the endpoints disagree on {what}: {first_name} says {first}, {name} says {other}")


def unavailable(fault: ChainUnavailable) -> AuditImpossible:
    """What can't be done while the chain does not answer, or not with one voice."""
    if isinstance(fault, EndpointsDisagree):
        return AuditImpossible(str(fault))
    return AuditImpossible(f"the chain can't be asked: {fault}. Is the endpoint the right one, and does it answer?")
