"""The confirmer: follows the chain's head and settles what it holds.

A transaction is final once ``confirmations`` blocks stand on it, its own counted. Until then, and for some depth
beyond, a fork can take it out again, or the chain can lose it from its pool: then it is sent again, and nothing that
was answered is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.chain import contract, signer
from node.chain.rpc import Block, Chain, ChainUnavailable, Look, Outcome, Receipt
from node.domain.records import UNMINED, MinedTx, OutboxTx, TxKind, TxState
from node.faults import point
from node.flow.contradictions import Contradictions, Unfound
from node.flow.forks import Forks
from node.flow.ledger import Ledger
from node.flow.outcomes import outcomes
from node.flow.refused import why
from node.flow.worker import LedgerFault
from node.store import accounts, circs, outbox, progress
from node.store.lead import Index

LOOK_MAX = 1_000
CARRIED_BLOCKS_MAX = 10_000
"""How far back a reverted circ is looked for in somebody else's transaction."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _News:
    """A transaction, the outcome of one of its hashes, and for a reverted one why, or who carried its circ."""

    tx: OutboxTx
    outcome: Outcome
    carrier: str | None = None
    reason: str = ""


class Confirmer:
    """Settles what the chain holds. ``step`` is one look at the head; ``resend`` wakes the sender."""

    def __init__(
        self,
        store: Index,
        chain: Chain,
        ledger: Ledger,
        *,
        confirmations: int,
        resend: Callable[[], None],
    ) -> None:
        self._store = store
        self._chain = chain
        self._ledger = ledger
        self._confirmations = confirmations
        self._resend = resend
        self._forks = Forks(store, chain, ledger.clock, confirmations=confirmations)
        self._head = ""
        self._contradictions = Contradictions(chain)
        self._unlooked: int | None = None  # from which block on, where the last look could not take all that was sent

    def step(self) -> bool:
        """Settle what is mined; answers whether more may be settled at once."""
        try:
            self._ledger.identity.check()
            return self._look()
        except ChainUnavailable:
            self._ledger.identity.doubt()
            raise

    def _look(self) -> bool:
        lanes = outbox.lanes_with([TxState.SENT])
        before = self._forks.last
        look = self._chain.look(lanes, before)
        if self._forks.is_lagging(look):
            return False
        if self._forks.follow(look):
            self._resend()
        sent = [
            tx
            for lane, nonce in zip(lanes, look.nonces, strict=True)
            for tx in outbox.in_lane(lane, TxState.SENT, LOOK_MAX, below_nonce=nonce)
        ]
        deep = outbox.mined_up_to(look.head.number - self._confirmations + 1, LOOK_MAX)
        # What was sent is in the blocks since the last look, what is deep in the one that it was found in.
        first = before + 1 if self._unlooked is None else min(before + 1, self._unlooked)
        found, unfound = self._news(sent, first, look.head.number)
        self._unlooked = first if len(sent) >= LOOK_MAX else None
        if deep:
            found += self._news(deep, deep[0].block_number or 0, deep[-1].block_number or 0)[0]
        self._contradictions.look(dict(zip(lanes, look.nonces, strict=True)), sent, unfound)
        explained = (self._explained(each, look.head) for each in found)
        news = [each for each in explained if each is not None]
        if news or look.head.hash != self._head:
            self._write(news, look)
        return bool(news) and (len(sent) >= LOOK_MAX or len(deep) == LOOK_MAX)

    def _news(self, asked: Sequence[OutboxTx], from_block: int, to_block: int) -> tuple[list[_News], list[Unfound]]:
        """What the chain has taken; and what it has not, each with all of its hashes."""
        now = outcomes(self._chain, self._ledger.contract, asked, from_block, to_block)
        missing = [tx.id for tx, outcome in zip(asked, now, strict=True) if outcome is None]
        before = outbox.replaced(missing) if missing else {}
        news, unfound = [], []
        for tx, outcome in zip(asked, now, strict=True):
            found = outcome or next((other for other in self._chain.outcomes(before.get(tx.id, [])) if other), None)
            if found is not None:
                news.append(_News(tx, found))
            else:
                unfound.append((tx, [tx.live_hash, *before.get(tx.id, [])]))
        return news, unfound

    def _is_deep(self, outcome: Outcome, head: Block) -> bool:
        return head.number - outcome.block_number + 1 >= self._confirmations

    def _explained(self, news: _News, head: Block) -> _News | None:
        """With what is needed to settle it, once it is deep: the actor's event, who carried a circ, or the reason.

        None if a fork has just taken the event away.
        """
        tx, outcome = news.tx, news.outcome
        if outcome.status and tx.kind is TxKind.REGISTER_ACTOR:
            (whole,) = self._chain.receipts([outcome.tx_hash])
            return None if whole is None else _News(tx, whole)
        if outcome.status or tx.kind is not TxKind.CIRC:
            return news
        carrier = self._carrier(tx, outcome)
        if carrier is not None or not self._is_deep(outcome, head):
            return _News(tx, outcome, carrier)
        assert isinstance(outcome, Receipt)
        return _News(tx, outcome, None, why(self._chain, self._ledger.contract, tx, outcome))

    def _carrier(self, tx: OutboxTx, outcome: Outcome) -> str | None:
        """The transaction that carried a circ that the contract took all the same.

        Anyone may send what an operator signed. Whoever copies a waiting circ and is mined first makes the
        node's own transaction revert. The version only grows, so the same circ can't have been taken before.
        """
        circ, _ = contract.decode_circulate(signer.call_data(tx.raw))
        topics = [contract.CIRCULATED_TOPIC, circ.operator.to_bytes(32, "big")]
        first = max(0, outcome.block_number - CARRIED_BLOCKS_MAX)
        for entry in self._chain.logs(self._ledger.contract, topics, first, outcome.block_number):
            event = contract.decode_log(entry.topics, entry.data)
            if isinstance(event, contract.Circulated) and event.circ == circ:
                return entry.tx_hash
        return None

    def _write(self, news: Sequence[_News], look: Look) -> None:
        point("receipts read")
        with self._store.write():
            outbox.mark_mined([self._mined(each, look.head) for each in news])
            final = [each for each in news if self._is_deep(each.outcome, look.head)]
            circs.succeed([n.tx.id for n in final if n.tx.kind is TxKind.CIRC and (n.outcome.status or n.carrier)])
            for each in final:
                self._settle(each)
            progress.note(
                self._ledger.clock(),
                head=str(look.head.number),
                head_hash=look.head.hash,
                confirmed=str(max(0, look.head.number - self._confirmations + 1)),
            )
            self._ledger.waiting = outbox.count(UNMINED)
            point("settling")
        point("settled")
        self._head = look.head.hash
        if final and not self._ledger.lanes.is_one:
            self._resend()  # what waited for them in other lanes

    def _mined(self, news: _News, head: Block) -> MinedTx:
        outcome = news.outcome
        done = TxState.FINAL if outcome.status else TxState.REVERTED
        state = done if self._is_deep(outcome, head) else TxState.MINED
        return MinedTx(news.tx.id, state, outcome.block_number, outcome.block_hash, news.carrier or outcome.tx_hash)

    def _settle(self, news: _News) -> None:
        tx, outcome = news.tx, news.outcome
        if tx.kind is TxKind.CIRC:
            if not outcome.status and news.carrier is None:
                failed = circs.fail(tx.id, news.reason)
                if failed:  # else it stood on a circ that failed before, and was told with that one
                    log.error("circ %s: %s; %d circs failed with it", tx.tx_hash, news.reason, len(failed) - 1)
        elif tx.kind is TxKind.SET_ACCOUNT:
            self._settle_account(tx, outcome)
        elif not outcome.status:
            raise LedgerFault(f"the chain refused {tx.kind.value} in {tx.tx_hash}: look at the contract's roles")
        elif tx.kind is TxKind.REGISTER_ACTOR:
            assert isinstance(outcome, Receipt)
            self._check_actor(tx, outcome)

    def _settle_account(self, tx: OutboxTx, outcome: Outcome) -> None:
        """A contract account may take back its word; then the actor stays the node's."""
        if outcome.status:
            accounts.settle(tx.id)
        else:
            accounts.take_back(tx.id)
            log.error("%s: the contract refused the account: its actor stays custodial", tx.tx_hash)

    def _check_actor(self, tx: OutboxTx, receipt: Receipt) -> None:
        expected = circs.actor_registered_by(tx.id)
        for entry in receipt.logs:
            event = contract.decode_log(entry.topics, entry.data)
            if isinstance(event, contract.ActorRegistered) and event.actor == expected:
                return
        raise LedgerFault(
            f"the contract gave another number than {expected} to the actor of {tx.tx_hash}: "
            "somebody else registers actors at this contract"
        )
