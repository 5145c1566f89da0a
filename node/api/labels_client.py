"""The labels of a serial, asked of a node: plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from node.api.client import NodeClient, NotUnderstood
from node.wire.vtrace.v1 import service_pb2 as wire

ROWS = 1_000
TIME_MIN, TIME_MAX = -62_135_596_800, 253_402_214_400
"""Seconds since 1970 of the years 1 to 9999."""


@dataclass(frozen=True, slots=True)
class ListedLabels:
    """Goods ids and addresses, ascending by id; the rest is what the labels have in common.

    ``product_time`` is in microseconds since 1970, ``gtin`` empty without one; ``total`` tells how many there are at
    least, listed or not.
    """

    class_name: str
    org_name: str
    product_time: int
    gtin: str
    total: int
    labels: tuple[tuple[int, str], ...]


def list_labels(
    client: NodeClient,
    token: str,
    serial_id: int,
    goods: range,
    total_max: int,
    tell: Callable[[int, int], None],
) -> ListedLabels:
    """The labels of those of a serial's goods that are among ``goods``, as far as ``total_max``.

    ``tell`` is told how many of how many are there. Raises Refused or NotUnderstood.
    """
    found: list[tuple[int, str]] = []
    first = goods.start
    while True:
        request = wire.ListLabelsRequest(serial_id=serial_id, first=first, limit=min(ROWS, total_max - len(found)))
        answer = client.call("ListLabels", request, token)
        rows = [(label.goods_id, label.address) for label in answer.labels]
        ids = [goods_id for goods_id, _ in rows]
        if ids != sorted(set(ids)) or (ids and ids[0] < first):
            raise NotUnderstood("ListLabels: goods that were not asked for, or out of order")
        when = answer.product_time.seconds
        if not TIME_MIN <= when <= TIME_MAX:
            raise NotUnderstood(f"ListLabels: produced {when} seconds after 1970")
        within = [row for row in rows if row[0] in goods]
        total = len(found) + (answer.total if len(within) == len(rows) else len(within))
        found += within
        tell(len(found), min(total, total_max))
        if len(found) >= min(total, total_max) or not within or ids[-1] + 1 not in goods:
            made = (answer.class_name, answer.org_name, when * 1_000_000, answer.gtin)
            return ListedLabels(*made, total, tuple(found))
        first = ids[-1] + 1
