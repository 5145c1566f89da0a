"""The ledger as the contract's events tell it, learnt one by one in the chain's order. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

from node.chain import contract
from node.domain import custody
from node.domain.custody import CustodyError, GoodsState
from node.domain.model import Circ
from node.flow.audit.facts import Actors, Attempt, Event, Place


class Ledger:
    """Actors, circs and custody, replayed by the contract's own rules.

    ``events`` has every event that was learnt, ``attempts`` the calls of ``circulate`` that were reverted and that
    some key signed. With ``by_rules`` each circ must follow from those before it, so that a missing one is noticed;
    without it circs are only kept, or there are none.
    """

    def __init__(self, *, by_rules: bool) -> None:
        self.actors = Actors()
        self.events: list[tuple[Place, str, contract.Event]] = []
        self.attempts: list[tuple[Attempt, str]] = []
        self.circs = 0
        self._by_rules = by_rules
        self._in_transaction: dict[str, list[Event]] = {}
        self._of_goods: dict[int, list[Event]] = {}
        self._states: dict[int, GoodsState] = {}
        self._attempts_of: dict[int, list[tuple[Attempt, str]]] = {}

    def learn(self, place: Place, tx_hash: str, event: contract.Event) -> None:
        """Take the next event. ValueError if it can't follow from those before it."""
        if isinstance(event, contract.Circulated):
            self._take(Event(tx_hash, place, event.circ))
        else:
            self.actors.learn(place, event)
        self.events.append((place, tx_hash, event))

    def refuse(self, attempt: Attempt, signed_by: str) -> None:
        """Take a call that was reverted, with the account whose key signed it."""
        self.attempts.append((attempt, signed_by))
        for span in attempt.call.goods:
            for goods_id in span:
                self._attempts_of.setdefault(goods_id, []).append((attempt, signed_by))

    def goods_ids(self) -> list[int]:
        """Every goods of which the contract has taken a circ, in ascending order."""
        return sorted(self._of_goods)

    def events_of(self, goods_id: int, head: int) -> list[Event]:
        """The circs of goods up to the block ``head``."""
        return [event for event in self._of_goods.get(goods_id, ()) if event.place.block <= head]

    def events_in(self, tx_hash: str) -> Sequence[Event]:
        """The circs that the contract took in a transaction."""
        return self._in_transaction.get(tx_hash, ())

    def attempts_of(self, goods_id: int, head: int) -> Sequence[Attempt]:
        """The refused circs of goods that their operators signed, up to the block ``head``.

        The account may have changed since the circ was signed, which is one way to be refused.
        """
        return [
            attempt
            for attempt, signed_by in self._attempts_of.get(goods_id, ())
            if attempt.block <= head and signed_by in self.actors.accounts(attempt.call.operator)
        ]

    def is_custodial(self, operator: int) -> bool:
        """Whether the node has an actor's key, after the last event that was learnt."""
        now = self.actors.now(operator)
        return now is not None and not now.sovereign

    def _take(self, event: Event) -> None:
        if self._by_rules:
            self._states.update(self._after(event.circ))
        self.circs += 1
        self._in_transaction.setdefault(event.tx_hash, []).append(event)
        for span in event.circ.goods:
            for goods_id in span:
                self._of_goods.setdefault(goods_id, []).append(event)

    def _after(self, circ: Circ) -> dict[int, GoodsState]:
        known = ((actor, self.actors.now(actor)) for actor in (circ.operator, circ.to))
        rights = {actor: now.rights for actor, now in known if now is not None}
        try:
            return custody.apply(circ, self._states, rights)
        except CustodyError as fault:
            raise ValueError(f"a circ can't follow from those before it, {fault}: is one of them missing?") from fault
