"""What the labels of goods say: the addresses in their codes, and what stands beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.domain import gs1, limits
from node.domain.records import Goods, User
from node.errors import Reason, not_found
from node.flow.goods import Products
from node.flow.ledger import Ledger
from node.store import people, products
from node.store.db import Store


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of one serial: goods ids and addresses, ``total`` of them from the first asked for on.

    ``product_time`` is in microseconds since 1970; ``gtin`` has 14 digits, or is None.
    """

    class_name: str
    org_name: str
    product_time: int
    gtin: str | None
    total: int
    labels: tuple[tuple[int, str], ...]


class Labelling:
    """Addresses of goods. ``base`` is asked for the public address of the node's HTTP, without a slash at its end."""

    def __init__(self, store: Store, products_: Products, ledger: Ledger, base: Callable[[], str]) -> None:
        self._store = store
        self._products = products_
        self._ledger = ledger
        self._base = base

    @property
    def base(self) -> str:
        """The public address of the node's HTTP."""
        return self._base()

    def of_serial(self, caller: User, serial_id: int, first: int, limit: int) -> Labels:
        """The labels of one of the org's serials, from the goods id ``first`` on."""
        if first:
            limits.identifier("first", first)
        _, rows = limits.page(0, limit)
        with self._store.read():
            serial = self._products.own_serial(caller, serial_id)
            org = people.org(serial.goods_class.org_id)
            if org is None:
                raise not_found(Reason.ORG_NOT_EXIST, "org_id", serial.goods_class.org_id)
            ids, total = products.goods_of(serial_id, first, rows)
        gtin = gs1.gtin_of(serial.goods_class.description)
        labels = tuple((goods_id, self._address(gtin, serial_id, goods_id)) for goods_id in ids)
        return Labels(serial.goods_class.name, org.name, serial.product_time, gtin, total, labels)

    def address(self, goods: Goods) -> str:
        """What the code of one goods says."""
        return self._address(gs1.gtin_of(goods.serial.goods_class.description), goods.serial.id, goods.id)

    def _address(self, gtin: str | None, serial_id: int, goods_id: int) -> str:
        # What stands behind # is for the page's script: the contract that the label means, whatever the page says.
        path = gs1.link_path(gtin, serial_id, goods_id) if gtin else f"/t/{goods_id}"
        return f"{self.base}{path}#c={self._ledger.chain_id}:{self._ledger.contract}"
