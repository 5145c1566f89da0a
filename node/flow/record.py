"""Recording a circ: custody is checked, the circ signed and stored, all in one database transaction.

When ``create`` returns, the record can't be lost and its trans_id is known; nothing has been sent yet.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.chain import contract
from node.chain.gas import circulate_gas, cut
from node.clock import Clock
from node.domain import custody
from node.domain.access import hold_own_org
from node.domain.custody import CustodyError, GoodsState
from node.domain.form import SALT_BYTES, form_digest
from node.domain.model import Circ, CircType, ids_of, ranges_of
from node.domain.records import TxKind, User
from node.errors import Reason, Status, VTraceError, invalid, not_found
from node.faults import point
from node.flow.actors import Actors, Operator
from node.flow.callers import fresh
from node.flow.ledger import Ledger
from node.flow.sovereign import OwnSignature, check_who_signs, signature_of, whole
from node.store import circs, people
from node.store.db import Store


@dataclass(frozen=True, slots=True)
class Recorded:
    """One transaction's circ: its id, its trans_id and the goods that it is about."""

    circ_id: int
    trans_id: str
    goods_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Planned:
    """A circ that the contract would take: with the ``times`` of its goods before and their states ``after`` it."""

    circ: Circ
    salt: bytes
    ids: tuple[int, ...]
    times: dict[int, int]
    after: dict[int, GoodsState]


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

        def enrolled() -> list[Recorded]:
            return self.enrol(caller, circ_type, goods_ids, to, form, own=own, private=private)

        recorded = self._store.together(enrolled)
        self._submitted()
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
        operator, planned = self._planned(caller, circ_type, goods_ids, to, form, own, is_first=is_first)
        recorded = [self._store_circ(operator, each, form, own, private=private) for each in planned]
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
        own = OwnSignature(b"", salt)
        _, (planned,) = self._planned(caller, circ_type, goods_ids, to, form, own, is_first=is_first)
        return planned.circ

    def _planned(
        self,
        caller: User,
        circ_type: CircType,
        goods_ids: Sequence[int],
        to: str,
        form: bytes,
        own: OwnSignature | None,
        *,
        is_first: bool = False,
    ) -> tuple[Operator, list[_Planned]]:
        """The operator, and a circ for each transaction that the contract would take."""
        self._ledger.refuse_if_full()
        caller = fresh(caller)
        receiver = self._receiver(caller, circ_type, to)
        known = circs.custody(goods_ids)
        for goods_id in goods_ids:
            if goods_id not in known:
                raise not_found(Reason.GOODS_NOT_FOUND, "goods_id", goods_id)
            if not is_first and not known[goods_id][0].times:
                raise VTraceError(
                    Reason.NOT_OWNER,
                    f"goods {goods_id} never came to be, since the chain refused their first produce circ: "
                    "make other goods",
                    metadata={"goods_id": goods_id},
                )
        operator = self._actors.of(caller)
        check_who_signs(operator, own)
        to_actor = operator.actor if receiver is caller else self._actors.of(receiver).actor
        states = {goods_id: state for goods_id, (state, _) in known.items()}
        wanted, gas_max = ranges_of(goods_ids), self._ledger.gas_max
        field = "sum" if is_first else "goods_ids"
        groups = cut(circ_type, wanted, gas_max) if own is None else [whole(field, circ_type, wanted, gas_max)]
        planned = []
        for ranges in groups:
            ids = tuple(ids_of(ranges))
            version = sum(states[goods_id].times for goods_id in ids)
            salt = secrets.token_bytes(SALT_BYTES) if own is None else own.salt
            digest = form_digest(salt, form)
            circ = Circ(ranges, circ_type, operator.actor.id, to_actor.id, digest, version)
            rights = {actor.id: actor.rights for actor in (operator.actor, to_actor)}
            try:
                after = custody.apply(circ, states, rights)
            except CustodyError as fault:
                raise _refusal(fault) from fault
            if circ_type is CircType.PRODUCE:
                for goods_id in ids:
                    hold_own_org(caller, known[goods_id][1], "goods", goods_id)
            planned.append(_Planned(circ, salt, ids, {goods_id: states[goods_id].times for goods_id in ids}, after))
        return operator, planned

    def _receiver(self, caller: User, circ_type: CircType, to: str) -> User:
        if circ_type is not CircType.TRANSFER:
            if to not in ("", caller.username):
                raise invalid("to", to, f"empty or the operator for {circ_type.name.lower()}")
            return caller
        if not to:
            raise invalid("to", to, "the username of the receiver")
        if to == caller.username:
            raise invalid("to", to, "a receiver other than the operator")
        receiver = people.user_called(to)
        if receiver is None or receiver.deleted:
            raise not_found(Reason.USER_NOT_FOUND, "to", to)
        return receiver

    def _store_circ(
        self, operator: Operator, planned: _Planned, form: bytes, own: OwnSignature | None, *, private: bool
    ) -> Recorded:
        circ, ids = planned.circ, planned.ids
        signature, gas = signature_of(operator, own, self._ledger, circ)
        stored = self._ledger.enrol(
            TxKind.CIRC,
            contract.circulate_data(circ, signature),
            circulate_gas(circ.circ_type, circ.goods) + gas,
            lambda: circs.stood_on(ids, (circ.operator, circ.to)),
        )
        circ_id = circs.add_circ(
            circ_type=circ.circ_type,
            operator=circ.operator,
            to=circ.to,
            form=form,
            salt=planned.salt,
            outbox_id=stored.outbox_id,
            times=planned.times,
            now=self._clock(),
            private=private,
        )
        circs.set_custody(planned.after, stored.outbox_id)
        return Recorded(circ_id, stored.tx_hash, ids)


def _refusal(fault: CustodyError) -> VTraceError:
    """What the caller is told when the contract would refuse the circ."""
    metadata: dict[str, object] = {"rule": fault.rule, **fault.args_}
    if fault.rule == "NotHolder":
        return VTraceError(
            Reason.NOT_OWNER,
            f"goods {fault.args_['goodsId']} are not in the custody of the operator",
            metadata=metadata,
        )
    if fault.rule in ("ActorDisabled", "MissingRight"):
        return VTraceError(
            Reason.PERMISSION_DENIED, f"the operator's role does not allow this circ ({fault})", metadata=metadata
        )
    if fault.rule == "TimesExhausted":
        return VTraceError(
            Reason.CREATE_CIRC_FAILED,
            f"goods can't have more circs ({fault})",
            metadata=metadata,
            status=Status.FAILED_PRECONDITION,
        )
    return VTraceError(Reason.INVALID_PARAMS, f"the contract refuses the circ: {fault}", metadata=metadata)


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
