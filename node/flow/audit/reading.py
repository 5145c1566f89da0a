"""Reading the chain for an audit: in batches, each transaction once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.chain import contract
from node.chain.rpc import Block, CallReverted, Chain, ChainUnavailable, Log
from node.flow.audit.facts import (
    ACTOR_TOPICS,
    ALL_TOPICS,
    Actors,
    Event,
    Evidence,
    Facts,
    place_of,
    promise,
    weigh,
)
from node.flow.audit.shown import AuditImpossible

LOG_BLOCKS_MAX = 10_000
"""Blocks a log query asks for; ``Chain.logs`` halves what an endpoint finds too much."""


class Reading:
    """What was read of one contract, up to the block of the last ``advance``.

    ``with_circs`` reads the logs of circs too, which tells all goods and all circs of each; without it only those
    of actors are read. When the chain drops the block of the last ``advance``, everything is read anew.
    """

    def __init__(self, chain: Chain, chain_id: int, address: str, first_block: int, *, with_circs: bool) -> None:
        self._chain = chain
        self._chain_id = chain_id
        self._address = address
        self._first_block = first_block
        self._with_circs = with_circs
        self._begin()

    def _begin(self) -> None:
        self._head: Block | None = None
        self._next_block = self._first_block
        self._actors = Actors()
        self._events: dict[int, list[Event]] = {}
        self._block_hashes: dict[int, str] = {}
        self._evidence: dict[str, Evidence] = {}
        self._has_code: dict[str, bool] = {}

    def advance(self) -> Block:
        """Read the logs up to the chain's head; answers the head, at which the next goods are audited."""
        if self._head is not None and not self.is_canonical(self._head):
            self._begin()
        head = self._head = self._chain.head()
        topics = ALL_TOPICS if self._with_circs else ACTOR_TOPICS
        while self._next_block <= head.number:
            last = min(self._next_block + LOG_BLOCKS_MAX - 1, head.number)
            for log in self._chain.logs(self._address, [topics], self._next_block, last):
                self._learn(log)
            self._next_block = last + 1
        return head

    def is_canonical(self, block: Block) -> bool:
        """Whether the chain still has the block."""
        now = self._chain.block(block.number)
        return now is not None and now.hash == block.hash

    def goods_ids(self) -> list[int]:
        """Every goods of which the contract has taken a circ, as far as the logs were read."""
        return sorted(self._events)

    def facts(self, goods: Sequence[tuple[int, Iterable[str]]], head: Block) -> list[Facts]:
        """For each goods, given with the hashes that the node names, what the chain says of it at ``head``."""
        states = self._states([goods_id for goods_id, _ in goods], head)
        named = [[tx_hash.lower() for tx_hash in hashes] for _, hashes in goods]
        evidence = self._weigh_all({tx_hash for hashes in named for tx_hash in hashes}, head)
        accounts = self._contract_accounts(evidence.values())
        found = []
        for (goods_id, _), hashes, (holder, times) in zip(goods, named, states, strict=True):
            events = [event for event in self._events.get(goods_id, ()) if event.place.block <= head.number]
            found.append(
                Facts(
                    head=head.number,
                    holder=holder,
                    times=times,
                    actors=self._actors,
                    evidence={tx_hash: evidence[tx_hash] for tx_hash in hashes if tx_hash in evidence},
                    events=events if self._with_circs else None,
                    contract_accounts=accounts,
                )
            )
        return found

    def _learn(self, log: Log) -> None:
        place = place_of(log)
        self._block_hashes[log.block_number] = log.block_hash
        try:
            event = contract.decode_log(log.topics, log.data)
            if isinstance(event, contract.Circulated):
                found = Event(log.tx_hash, place, event.circ)
                for span in event.circ.goods:
                    for goods_id in span:
                        self._events.setdefault(goods_id, []).append(found)
            elif event is not None:
                self._actors.learn(place, event)
        except ValueError as fault:
            raise ChainUnavailable(f"eth_getLogs: a log of the contract can't be understood: {fault}") from fault

    def _states(self, goods_ids: Sequence[int], head: Block) -> list[tuple[int, int]]:
        """Holder and times of each goods at ``head``."""
        calls = [(self._address, contract.goods_of_data(goods_id)) for goods_id in goods_ids]
        states = []
        for answer in self._chain.calls(calls, block=head.number):
            if isinstance(answer, CallReverted):
                raise AuditImpossible(f"the contract refuses to tell the state of goods: {answer}") from answer
            try:
                states.append(contract.decode_goods_of(answer))
            except ValueError as fault:
                raise ChainUnavailable(f"eth_call: goodsOf answered {fault}") from fault
        return states

    def _weigh_all(self, hashes: set[str], head: Block) -> dict[str, Evidence]:
        """The evidence of every transaction that the chain knows. Mined ones are weighed once."""
        found = {tx_hash: self._evidence[tx_hash] for tx_hash in hashes if tx_hash in self._evidence}
        unknown = sorted(hashes - found.keys())
        receipts = self._chain.receipts(unknown)
        transactions = self._chain.transactions(unknown)
        for tx_hash, receipt, transaction in zip(unknown, receipts, transactions, strict=True):
            if receipt is None:
                if transaction is not None:
                    found[tx_hash] = promise(transaction, None, tx_hash, self._chain_id, self._address)
            elif receipt.block_number > head.number:
                block = receipt.block_number
                found[tx_hash] = promise(transaction, block, tx_hash, self._chain_id, self._address)
            else:
                canonical = self._block_hash(receipt.block_number)
                evidence = weigh(transaction, receipt, canonical, self._chain_id, self._address)
                found[tx_hash] = self._evidence[tx_hash] = evidence
        return found

    def _block_hash(self, number: int) -> str | None:
        if number not in self._block_hashes:
            block = self._chain.block(number)
            if block is None:
                return None
            self._block_hashes[number] = block.hash
        return self._block_hashes[number]

    def _contract_accounts(self, evidence: Iterable[Evidence]) -> frozenset[str]:
        """Which accounts of operators have code. Those whose own key signed need not be asked."""
        asked: set[str] = set()
        for one in evidence:
            if one.call is None:
                continue
            if one.fault is None and one.events:
                then = self._actors.at(one.call.operator, one.events[0].place)
                accounts = frozenset() if then is None else frozenset([then.account])
            else:
                accounts = self._actors.accounts(one.call.operator)
            if one.signed_by not in accounts:
                asked |= accounts
        for account in asked - self._has_code.keys():
            self._has_code[account] = bool(self._chain.code(account))
        return frozenset(account for account in asked if self._has_code[account])
