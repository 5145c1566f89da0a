"""Rows for the index's tests. All of it runs inside ``Store.write()``."""

from __future__ import annotations

from node.domain.model import CircType, Rights
from node.domain.records import Actor, TxKind
from node.domain.roles import Role
from node.store import circs, outbox, people, products
from node.store.circs import NewCirc
from node.store.db import Store

SIGNER = "0x" + "5" * 40


def transaction(nonce: int, kind: TxKind = TxKind.CIRC, signer: str = SIGNER) -> int:
    return outbox.add(signer=signer, nonce=nonce, kind=kind, raw=b"signed", tx_hash=f"{signer}:{nonce}", now=0)


def next_transaction(kind: TxKind = TxKind.CIRC) -> int:
    nonce = outbox.next_nonce(SIGNER)
    return transaction(0 if nonce is None else nonce, kind)


def actors(total: int) -> None:
    """Users and actors with the ids 1 to ``total``, each with every right."""
    for number in range(1, total + 1):
        user = people.add_user(username=f"u{number}", nickname="n", role=Role.BOSS, password_hash="", now=0)
        actor = Actor(circs.next_actor(), user.id, f"0x{number:040x}", Rights(7))
        circs.add_actor(actor, b"sealed", next_transaction(TxKind.REGISTER_ACTOR))


def goods(total: int) -> list[int]:
    """Goods of one serial of an org of user 1, without any circ."""
    org = people.add_org(name="o", code="c", info=b"", owner_id=1, now=0)
    class_id = products.add_class(
        name="k", description=b"", trademark="", material_id=0, state="s", org_id=org.id, creator_id=1, now=0
    )
    serial_id = products.add_serial(class_id=class_id, product_time=0, state="s", creator_id=1, now=0)
    return products.add_goods(serial_id=serial_id, creator_id=1, state="s", total=total)


def circ(circ_type: CircType, operator: int, to: int, times: dict[int, int]) -> tuple[int, int]:
    """A pending circ; answers its id and that of its transaction."""
    outbox_id = next_transaction()
    (circ_id,) = circs.add([NewCirc(circ_type, operator, to, b"{}", bytes(16), outbox_id, times)], now=0)
    return circ_id, outbox_id


def prepared(store: Store, actors_total: int, goods_total: int) -> list[int]:
    """Actors and goods in ``store``; answers the ids of the goods."""
    with store.write():
        actors(actors_total)
        return goods(goods_total)
