"""Plain circs of a group of callers, recorded with a few statements for all of them.

Plain is a circ of few goods, of a known actor whose key the node keeps, that nothing speaks against. Whatever else is
asked for, and all that is refused, is left to the Recorder, which does it alone: so its way is what counts, and this
is only the faster one to the same rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from node.chain import contract
from node.chain.gas import circulate_gas
from node.clock import Clock
from node.domain.custody import GoodsState
from node.domain.model import Circ
from node.domain.records import TxKind, User
from node.errors import SignerUnavailable, VTraceError
from node.faults import point
from node.flow.actors import Actors, Operator
from node.flow.callers import is_still
from node.flow.ledger import Ledger
from node.flow.plan import Order, Planned, check_goods, planned, receiver_of
from node.store import circs, outbox, people
from node.store.circs import NewCirc
from node.store.outbox import NewTx

GOODS_MAX = 16
"""Of one circ; one of more goods has statements of its own anyway."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """One transaction's circ: its id, its trans_id and the goods that it is about."""

    circ_id: int
    trans_id: str
    goods_ids: tuple[int, ...]


class Plain:
    """Everything here runs inside ``Store.write()``."""

    def __init__(self, ledger: Ledger, actors: Actors, clock: Clock) -> None:
        self._ledger = ledger
        self._actors = actors
        self._clock = clock

    def record(self, orders: Sequence[Order]) -> list[list[Recorded] | None]:
        """Record what is plain of ``orders``, as if one after the other. None for each that is left to be done alone.

        Nothing was written for those, nor is anything if this raises.
        """
        if not self._ledger.lanes.is_one or not self._ledger.has_room(len(orders)):
            return [None] * len(orders)
        facts = self._facts(orders)
        taken = [facts.planned(order, self._ledger.gas_max) for order in orders]
        try:
            stored = iter(self._store([(order, each) for order, each in zip(orders, taken, strict=True) if each]))
        except SignerUnavailable:  # before anything was written
            return [None] * len(orders)
        return [[next(stored)] if each else None for each in taken]

    def _facts(self, orders: Sequence[Order]) -> _Facts:
        users = {user.id: user for user in people.users([order.caller.id for order in orders])}
        names = [order.to for order in orders if order.to]
        called = {user.username: user for user in people.users_called(names)} if names else {}
        operators = self._actors.known([*users.values(), *called.values()])
        return _Facts(users, called, operators, circs.custody([one for order in orders for one in order.goods_ids]))

    def _store(self, taken: Sequence[tuple[Order, tuple[Operator, Planned]]]) -> list[Recorded]:
        if not taken:
            return []
        ledger, now = self._ledger, self._clock()
        lane, first_nonce = ledger.lanes.registrar, ledger.next_nonce(ledger.lanes.registrar)
        signed = []
        for nonce, (_, (operator, each)) in enumerate(taken, first_nonce):
            gas = circulate_gas(each.circ.circ_type, each.circ.goods)
            data = contract.circulate_data(each.circ, self._signature(operator, each.circ))
            signed.append(ledger.sign(lane, nonce, data, gas))
        txs = [NewTx(nonce, tx.raw, tx.hash) for nonce, tx in enumerate(signed, first_nonce)]
        outbox_ids = outbox.add_all(signer=lane, kind=TxKind.CIRC, txs=txs, now=now)
        rows, states = [], {}
        for outbox_id, (order, (_, each)) in zip(outbox_ids, taken, strict=True):
            rows.append(NewCirc.of(each.circ, order.form, each.salt, outbox_id, each.times, order.private))
            states.update({goods_id: (state, outbox_id) for goods_id, state in each.after.items()})
        circ_ids = circs.add(rows, now)
        circs.move(states)
        ledger.waiting += len(taken)
        for _ in taken:
            point("recorded")
        return [
            Recorded(circ_id, tx.hash, each.ids)
            for circ_id, tx, (_, (_, each)) in zip(circ_ids, signed, taken, strict=True)
        ]

    def _signature(self, operator: Operator, circ: Circ) -> bytes:
        assert operator.signatory is not None
        return operator.signatory.sign(contract.circ_message(self._ledger.chain_id, self._ledger.contract, circ))


class _Facts:
    """What the index knows of the users and goods of all orders, and what the orders before make of it."""

    def __init__(
        self,
        users: Mapping[int, User],
        called: Mapping[str, User],
        operators: Mapping[int, Operator],
        known: dict[int, tuple[GoodsState, int]],
    ) -> None:
        self._users = users
        self._called = called
        self._operators = operators
        self._known = known

    def planned(self, order: Order, gas_max: int) -> tuple[Operator, Planned] | None:
        """The circ, if it is plain; what comes behind it finds the goods as it leaves them."""
        user = self._users.get(order.caller.id)
        if order.own is not None or len(order.goods_ids) > GOODS_MAX or not is_still(user, order.caller):
            return None
        try:
            receiver = receiver_of(order, user, self._called.get)
            operator, to = self._operators.get(user.id), self._operators.get(receiver.id)
            if operator is None or operator.signatory is None or to is None:
                return None
            check_goods(order, self._known)
            found = planned(order, user, operator, to.actor, self._known, gas_max)
        except VTraceError:
            return None
        if len(found) > 1:
            return None
        for goods_id, state in found[0].after.items():
            self._known[goods_id] = (state, self._known[goods_id][1])
        return operator, found[0]
