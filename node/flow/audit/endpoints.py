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
    BlockHashes,
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
    def blocks(self, numbers: Sequence[int]) -> list[Block | None]: ...
    def block_hashes(self, from_block: int, to_block: int) -> list[BlockHashes]: ...
    def sent_to(self, address: str, blocks: Sequence[int]) -> list[Transaction]: ...
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
        return self._same("the chain id", self._ask(lambda chain: chain.chain_id()), str)

    def head(self) -> Block:
        """The newest block that all have. EndpointsDisagree if they have another at its height for good."""
        for seconds in (*HEAD_SECONDS, None):
            lowest = min(self._ask(lambda chain: chain.head()), key=lambda block: block.number)
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
        return self.blocks([number])[0]

    def blocks(self, numbers: Sequence[int]) -> list[Block | None]:
        return [
            self._same(
                f"block {number}",
                several,
                lambda block: "no block" if block is None else f"{block.hash} at {block.timestamp} seconds",
                lambda block: None if block is None else (block.hash, block.timestamp),
            )
            for number, *several in zip(numbers, *self._ask(lambda chain: chain.blocks(numbers)), strict=True)
        ]

    def block_hashes(self, from_block: int, to_block: int) -> list[BlockHashes]:
        answers = self._ask(lambda chain: chain.block_hashes(from_block, to_block))
        return [
            self._same(
                f"block {several[0].block.number}",
                several,
                lambda found: (
                    f"{found.block.hash} at {found.block.timestamp} seconds, {len(found.hashes)} transactions"
                ),
                lambda found: (found.block.hash, found.block.parent_hash, found.block.timestamp, found.hashes),
            )
            for several in zip(*answers, strict=False)  # one may have found so many too much
        ]

    def sent_to(self, address: str, blocks: Sequence[int]) -> list[Transaction]:
        return self._same(
            "the transactions that go to the contract",
            self._ask(lambda chain: chain.sent_to(address, blocks)),
            lambda found: f"{len(found)} of them",
        )

    def receipts(self, hashes: Sequence[str]) -> list[Receipt | None]:
        """What is mined behind the head, or not at all, may be known to some endpoints only."""
        return [
            self._latest(
                f"the receipt of {tx_hash}",
                several,
                lambda found: found if found.block_number <= self._head else None,
                lambda found: f"status {found.status} in block {found.block_hash} with {len(found.logs)} logs",
            )
            for tx_hash, *several in zip(hashes, *self._ask(lambda chain: chain.receipts(hashes)), strict=True)
        ]

    def transactions(self, hashes: Sequence[str]) -> list[Transaction | None]:
        """See ``receipts``."""
        return [
            self._latest(
                f"the transaction {tx_hash}",
                several,
                lambda found: found if found.block_number is not None and found.block_number <= self._head else None,
                lambda found: f"one of {found.sender} in block {found.block_number}",
            )
            for tx_hash, *several in zip(hashes, *self._ask(lambda chain: chain.transactions(hashes)), strict=True)
        ]

    def logs(self, address: str | None, topics: Sequence[Topic], from_block: int, to_block: int) -> list[Log]:
        return self._same(
            f"the contract's events in blocks {from_block} to {to_block}",
            self._ask(lambda chain: chain.logs(address, topics, from_block, to_block)),
            lambda found: f"{len(found)} of them",
        )

    def code(self, address: str, block: int | str = "latest") -> bytes:
        return self._same(
            f"the code at {address}",
            self._ask(lambda chain: chain.code(address, block)),
            lambda code: f"{len(code)} bytes of it",
        )

    def calls(self, calls: Sequence[tuple[str, bytes]], block: int | str = "latest") -> list[bytes | CallReverted]:
        several = self._ask(lambda chain: chain.calls(calls, block))
        return [
            self._same(
                f"what {to} answers 0x{data.hex()} at block {block}",
                answers,
                lambda found: f"0x{_output(found).hex()}",
                _output,
            )
            for (to, data), *answers in zip(calls, *several, strict=True)
        ]

    def _ask(self, question: Callable[[Chain], T]) -> list[T]:
        return [question(chain) for _, chain in self._endpoints]

    def _same(
        self,
        what: str,
        answers: Sequence[T],
        show: Callable[[T], str],
        key: Callable[[T], object] = lambda answer: answer,
    ) -> T:
        """The answer that all give. ``show`` says what one answers, in a few words."""
        first = answers[0]
        for (name, _), other in zip(self._endpoints, answers, strict=True):
            if key(other) != key(first):
                raise _disagree(what, self._endpoints[0][0], show(first), name, show(other))
        return first

    def _latest(
        self, what: str, answers: Sequence[T | None], settled: Callable[[T], T | None], show: Callable[[T], str]
    ) -> T | None:
        """The answer that all give of what is settled at the head, else the one of whoever knows something."""
        told = [None if answer is None else settled(answer) for answer in answers]
        agreed = self._same(what, told, lambda found: "nothing" if found is None else show(found))
        return agreed if agreed is not None else next((answer for answer in answers if answer is not None), None)


def _output(answer: bytes | CallReverted) -> bytes:
    return answer.data if isinstance(answer, CallReverted) else answer


def _disagree(what: str, first_name: str, first: str, name: str, other: str) -> EndpointsDisagree:
    if first == other:
        other = "as many, but others"
    return EndpointsDisagree(f"the endpoints disagree on {what}: {first_name} says {first}, {name} says {other}")


def unavailable(fault: ChainUnavailable) -> AuditImpossible:
    """What can't be done while the chain does not answer, or not with one voice."""
    if isinstance(fault, EndpointsDisagree):
        return AuditImpossible(str(fault))
    return AuditImpossible(f"the chain can't be asked: {fault}. Is the endpoint the right one, and does it answer?")
