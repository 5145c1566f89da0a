"""What the chain says of some goods at one block: asked in batches, each transaction once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.chain import contract
from node.chain.rpc import Block, CallReverted, ChainUnavailable
from node.clock import Clock
from node.flow.audit.endpoints import ChainView
from node.flow.audit.facts import Event, Evidence, Facts, promise, weigh, weigh_logged
from node.flow.audit.replay import Depth, Replay
from node.flow.audit.shown import AuditImpossible


class Reading:
    """Facts of goods, by a replay of the contract's ledger and by what the chain says of single transactions.

    ``began`` is the time of the block with which the replay begins, in seconds since 1970; ``clock`` the auditor's own.
    """

    def __init__(
        self, chain: ChainView, chain_id: int, address: str, replay: Replay, depth: Depth, *, began: int, clock: Clock
    ) -> None:
        self._chain = chain
        self._chain_id = chain_id
        self._address = address
        self._replay = replay
        self._began = began
        self._clock = clock
        self._with_circs = depth is not Depth.ACTORS
        self._by_logs = depth is Depth.WHOLE  # these logs were held against their blocks, and against each other
        self._forget()

    def _forget(self) -> None:
        self._ledger = self._replay.ledger
        self._block_hashes: dict[int, str] = {}
        self._block_times: dict[int, int] = {}
        self._evidence: dict[str, Evidence] = {}
        self._has_code: dict[str, bool] = {}

    def advance(self) -> Block:
        """Read up to the chain's head; answers the head, at which the next goods are audited."""
        head = self._replay.advance()
        if self._ledger is not self._replay.ledger:
            self._forget()  # the chain dropped blocks, and everything was read anew
        return head

    def is_canonical(self, block: Block) -> bool:
        """Whether the chain still has the block."""
        return self._replay.is_canonical(block)

    @property
    def circs(self) -> int:
        """How many circs the contract has taken, as far as the logs were read."""
        return self._ledger.circs

    @property
    def notes(self) -> list[str]:
        """What whoever reads the report should know of the replay."""
        return self._replay.notes

    def goods_ids(self) -> list[int]:
        """Every goods of which the contract has taken a circ, as far as the logs were read."""
        return self._ledger.goods_ids()

    def facts(self, goods: Sequence[tuple[int, Iterable[str]]], head: Block) -> list[Facts]:
        """For each goods, given with the hashes that the node names, what the chain says of it at ``head``."""
        states = self._states([goods_id for goods_id, _ in goods], head)
        named = [[tx_hash.lower() for tx_hash in hashes] for _, hashes in goods]
        evidence = self._weigh_all({tx_hash for hashes in named for tx_hash in hashes}, head)
        accounts = self._contract_accounts(evidence.values())
        ledger, number = self._ledger, head.number
        events = [ledger.events_of(goods_id, number) if self._with_circs else None for goods_id, _ in goods]
        block_times = self._times(evidence.values(), (event for some in events for event in some or ()), number)
        now = self._clock()
        return [
            Facts(
                head=number,
                holder=holder,
                times=times,
                actors=ledger.actors,
                evidence={tx_hash: evidence[tx_hash] for tx_hash in hashes if tx_hash in evidence},
                events=of_goods,
                contract_accounts=accounts,
                attempts=ledger.attempts_of(goods_id, number),
                block_times=block_times,
                began=self._began,
                now=now,
            )
            for (goods_id, _), hashes, (holder, times), of_goods in zip(goods, named, states, events, strict=True)
        ]

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
        named = sorted(hashes - found.keys())
        told = dict(zip(named, self._chain.transactions(named), strict=True))
        unknown = []
        for tx_hash in named:
            events = self._ledger.events_in(tx_hash) if self._by_logs else ()
            if events and events[0].place.block <= head.number:
                evidence = weigh_logged(told[tx_hash], events, self._chain_id, self._address)
                found[tx_hash] = self._evidence[tx_hash] = evidence
            else:
                unknown.append(tx_hash)
        receipts = self._chain.receipts(unknown)
        transactions = [told[tx_hash] for tx_hash in unknown]
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

    def _times(self, evidence: Iterable[Evidence], events: Iterable[Event], head: int) -> dict[int, int]:
        """The times of the blocks up to ``head`` that hold what is known; of a block that was just dropped there is
        none."""
        numbers = {event.place.block for event in events}
        for one in evidence:
            numbers |= {event.place.block for event in one.events}
            if one.block is not None and one.block <= head:
                numbers.add(one.block)
        known, read = self._block_times, self._replay.block_times
        known |= {number: read[number] for number in numbers if number in read}
        unknown = sorted(numbers - known.keys())
        for number, block in zip(unknown, self._chain.blocks(unknown), strict=True):
            if block is not None:
                known[number] = block.timestamp
        return known

    def _block_hash(self, number: int) -> str | None:
        known = self._replay.block_hashes.get(number) or self._block_hashes.get(number)
        if known is None:
            block = self._chain.block(number)
            if block is None:
                return None
            known = self._block_hashes[number] = block.hash
        return known

    def _contract_accounts(self, evidence: Iterable[Evidence]) -> frozenset[str]:
        """Which accounts of operators have code. Those whose own key signed need not be asked."""
        actors = self._ledger.actors
        asked: set[str] = set()
        for one in evidence:
            if one.call is None:
                continue
            if one.fault is None and one.events:
                then = actors.at(one.call.operator, one.events[0].place)
                accounts = frozenset() if then is None else frozenset([then.account])
            else:
                accounts = actors.accounts(one.call.operator)
            if one.signed_by not in accounts:
                asked |= accounts
        for account in asked - self._has_code.keys():
            self._has_code[account] = bool(self._chain.code(account))
        return frozenset(account for account in asked if self._has_code[account])
