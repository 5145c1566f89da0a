"""What a circ is to be, worked out from what the index knows: pure rules, and the refusals that callers are told."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from node.chain.gas import cut
from node.domain import custody
from node.domain.access import hold_own_org
from node.domain.custody import CustodyError, GoodsState
from node.domain.form import SALT_BYTES, form_digest
from node.domain.model import Circ, CircType, ids_of, ranges_of
from node.domain.records import Actor, User
from node.errors import Reason, Status, VTraceError, invalid, not_found
from node.flow.actors import Operator
from node.flow.sovereign import OwnSignature, whole

Known = Mapping[int, tuple[GoodsState, int]]
"""Goods id → custody, and the org whose class the goods are of."""


@dataclass(frozen=True, slots=True)
class Order:
    """A circ that somebody asks for: ``goods_ids`` ascending and distinct, ``to`` a username or empty.

    ``is_first`` is said of the produce circ that makes goods, ``own`` is the signature of a caller with a key, a
    ``private`` form is never published.
    """

    caller: User
    circ_type: CircType
    goods_ids: Sequence[int]
    to: str
    form: bytes
    own: OwnSignature | None = None
    is_first: bool = False
    private: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A circ that the contract would take: with the ``times`` of its goods before and their states ``after`` it."""

    circ: Circ
    salt: bytes
    ids: tuple[int, ...]
    times: dict[int, int]
    after: dict[int, GoodsState]


def receiver_of(order: Order, caller: User, called: Callable[[str], User | None]) -> User:
    """Who gets the goods: for a transfer whom ``called`` finds under the name, else the caller."""
    to = order.to
    if order.circ_type is not CircType.TRANSFER:
        if to not in ("", caller.username):
            raise invalid("to", to, f"empty or the operator for {order.circ_type.name.lower()}")
        return caller
    if not to:
        raise invalid("to", to, "the username of the receiver")
    if to == caller.username:
        raise invalid("to", to, "a receiver other than the operator")
    receiver = called(to)
    if receiver is None or receiver.deleted:
        raise not_found(Reason.USER_NOT_FOUND, "to", to)
    return receiver


def check_goods(order: Order, known: Known) -> None:
    """All goods are known, and came to be."""
    for goods_id in order.goods_ids:
        if goods_id not in known:
            raise not_found(Reason.GOODS_NOT_FOUND, "goods_id", goods_id)
        if not order.is_first and not known[goods_id][0].times:
            raise VTraceError(
                Reason.NOT_OWNER,
                f"goods {goods_id} never came to be, since the chain refused their first produce circ: "
                "make other goods",
                metadata={"goods_id": goods_id},
            )


def planned(
    order: Order, caller: User, operator: Operator, to_actor: Actor, known: Known, gas_max: int
) -> list[Planned]:
    """A circ for each transaction that the contract would take; VTraceError where it would take none."""
    own, circ_type = order.own, order.circ_type
    states = {goods_id: known[goods_id][0] for goods_id in order.goods_ids}
    wanted = ranges_of(order.goods_ids)
    field = "sum" if order.is_first else "goods_ids"
    groups = cut(circ_type, wanted, gas_max) if own is None else [whole(field, circ_type, wanted, gas_max)]
    rights = {actor.id: actor.rights for actor in (operator.actor, to_actor)}
    found = []
    for ranges in groups:
        ids = tuple(ids_of(ranges))
        times = {goods_id: states[goods_id].times for goods_id in ids}
        salt = secrets.token_bytes(SALT_BYTES) if own is None else own.salt
        digest = form_digest(salt, order.form)
        circ = Circ(ranges, circ_type, operator.actor.id, to_actor.id, digest, sum(times.values()))
        try:
            after = custody.apply(circ, states, rights)
        except CustodyError as fault:
            raise _refusal(fault) from fault
        if circ_type is CircType.PRODUCE:
            for goods_id in ids:
                hold_own_org(caller, known[goods_id][1], "goods", goods_id)
        found.append(Planned(circ, salt, ids, times, after))
    return found


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
