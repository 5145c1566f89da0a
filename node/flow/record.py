"""Recording a circ: custody is checked, the circ signed and stored, all in one database transaction.

When ``create`` returns, the record can't be lost and its trans_id is known; nothing has been sent yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node import calling
from node.chain import contract
from node.chain.gas import circulate_gas
from node.clock import Clock
from node.domain.model import Circ, CircType
from node.domain.records import TxKind, User
from node.errors import invalid
from node.faults import point
from node.flow.actors import Actors, Operator
from node.flow.callers import fresh
from node.flow.ledger import Ledger
from node.flow.plain import Plain, Recorded
from node.flow.plan import Order, Planned, check_goods, planned, receiver_of
from node.flow.sovereign import OwnSignature, check_who_signs, signature_of
from node.later import Later
from node.store import circs, people
from node.store.circs import NewCirc
from node.store.db import Store


class Recorder:
    """Takes circs of authenticated users. ``submitted`` is told after each commit."""

    def __init__(
        self, store: Store, ledger: Ledger, actors: Actors, clock: Clock, submitted: Callable[[], None]
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._actors = actors
        self._clock = clock
        self._submitted = submitted
        self._plain = Plain(ledger, actors, clock)

    def create(
        self,
        caller: User,
        circ_type: CircType,
        goods_ids: Sequence[int],
        to: str,
        form: bytes,
        own: OwnSignature | None = None,
        *,
        private: bool = False,
    ) -> list[Recorded]:
        """Record one circ of ``goods_ids`` (ascending, distinct); all of them or none.

        ``to`` is the receiver's username for a transfer, else empty or the caller's. A batch that no single
        transaction can hold is answered as several, each with its own trans_id; one with the caller's ``own``
        signature is refused. A ``private`` form is never published, and forgotten when the caller's data is erased.
        Raises Unsure where the signature has to be looked at outside.
        """
        return self.begin(caller, circ_type, goods_ids, to, form, own, private=private).wait()

    def begin(
        self,
        caller: User,
        circ_type: CircType,
        goods_ids: Sequence[int],
        to: str,
        form: bytes,
        own: OwnSignature | None = None,
        *,
        private: bool = False,
    ) -> Later[list[Recorded]]:
        """``create``, for who does not wait for it on a thread."""
        order = Order(caller, circ_type, goods_ids, to, form, own, private=private)
        return self._store.begin(lambda: self._enrol(order), of_all=self._plain.record, given=order).made(self._told)

    def _told(self, recorded: list[Recorded]) -> list[Recorded]:
        self._submitted()
        calling.has_recorded(each.trans_id for each in recorded)
        return recorded

    def enrol(
        self,
        caller: User,
        circ_type: CircType,
        goods_ids: Sequence[int],
        to: str,
        form: bytes,
        *,
        is_first: bool = False,
        own: OwnSignature | None = None,
        private: bool = False,
    ) -> list[Recorded]:
        """``create`` for a caller that writes to the index already and tells ``submitted`` itself.

        ``is_first`` is said of the produce circ that makes goods, whose form is the node's own.
        """
        return self._enrol(Order(caller, circ_type, goods_ids, to, form, own, is_first, private))

    def _enrol(self, order: Order) -> list[Recorded]:
        operator, found = self._planned(order)
        recorded = [self._store_circ(operator, each, order) for each in found]
        point("recorded")
        return recorded

    def plan(
        self,
        caller: User,
        circ_type: CircType,
        goods_ids: Sequence[int],
        to: str,
        form: bytes,
        salt: bytes,
        *,
        is_first: bool = False,
    ) -> Circ:
        """The circ that a caller who keeps its own key has to sign, as things stand (inside ``Store.write()``).

        A transfer's receiver may be registered.
        """
        order = Order(caller, circ_type, goods_ids, to, form, OwnSignature(b"", salt), is_first)
        _, (only,) = self._planned(order)
        return only.circ

    def _planned(self, order: Order) -> tuple[Operator, list[Planned]]:
        """The operator, and a circ for each transaction that the contract would take."""
        self._ledger.refuse_if_full()
        caller = fresh(order.caller)
        receiver = receiver_of(order, caller, people.user_called)
        known = circs.custody(order.goods_ids)
        check_goods(order, known)
        operator = self._actors.of(caller)
        check_who_signs(operator, order.own)
        to_actor = operator.actor if receiver is caller else self._actors.of(receiver).actor
        return operator, planned(order, caller, operator, to_actor, known, self._ledger.gas_max)

    def _store_circ(self, operator: Operator, each: Planned, order: Order) -> Recorded:
        circ, ids = each.circ, each.ids
        signature, gas = signature_of(operator, order.own, self._ledger, circ)
        stored = self._ledger.enrol(
            TxKind.CIRC,
            contract.circulate_data(circ, signature),
            circulate_gas(circ.circ_type, circ.goods) + gas,
            lambda: circs.stood_on(ids, (circ.operator, circ.to)),
        )
        row = NewCirc.of(circ, order.form, each.salt, stored.outbox_id, each.times, order.private)
        (circ_id,) = circs.add([row], self._clock())
        circs.set_custody(each.after, stored.outbox_id)
        return Recorded(circ_id, stored.tx_hash, ids)


def circ_type_of(number: int) -> CircType:
    """The kind with this protocol number; INVALID_ARGUMENT for others."""
    try:
        return CircType(number)
    except ValueError:
        raise invalid("circ_type", number, "0 produce, 1 process, 3 transfer or 4 exam") from None


def check_parties(caller: User, *, origin: str, operator: str) -> None:
    """``from`` and ``operator`` are empty or the caller: nobody records for somebody else."""
    if origin not in ("", caller.username):
        raise invalid("from", origin, "empty or the operator's own username")
    if operator not in ("", caller.username):
        raise invalid("operator", operator, "empty or the caller's own username")
