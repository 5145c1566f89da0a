"""Circs as events, page by page: a page ends with a circ, and the next one begins behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from node.clock import Clock
from node.domain.epcis.ids import Epc, Item, base_of, goods_of
from node.domain.epcis.query import Query
from node.domain.epcis.write import Event, Recorded, event_of, query_document
from node.domain.model import CircStatus
from node.domain.records import User
from node.domain.roles import Role, has
from node.errors import SetupError, denied
from node.flow.callers import fresh
from node.store import events as stored
from node.store.db import Store

Items = tuple[Item, ...]

WINDOW = 100
"""Circs that are read from the index at a time, with forms of up to 64 KiB."""
LOOKED_MAX = 5_000
"""Circs that a page looks at; with a narrow query it may have few events, and yet not be the last."""
PAGE_BYTES_MAX = 2 * 1024 * 1024
"""About so long a page becomes, by its EPCs and forms, unless its only event is longer."""
EPC_BYTES = 80
GOODS_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Page:
    """Events, and the circ behind which the next page begins; None if this is the last."""

    events: list[Event]
    next: int | None


class Events:
    """What the index has, as events. ``base`` is the beginning of the contract's private URNs."""

    def __init__(self, store: Store, base: str, clock: Clock) -> None:
        self._store = store
        self._base = base
        self._clock = clock

    def answer(self, query: Query, caller: User | None) -> tuple[dict[str, Any], int | None]:
        """A page as a document, and where the next one begins.

        Events of EPCs that are named are everybody's, as GetCirc is; to list all of an org's takes a producer of it.
        """
        with self._store.read():
            page = self._page(query, None if query.epcs else _org_of(caller))
        return query_document(page.events, self._clock()), page.next

    def pages(self, query: Query) -> Iterator[Page]:
        """All events of a query, whoever's they are, a page at a time; what comes meanwhile may be among them."""
        while True:
            with self._store.read():
                page = self._page(query, None)
            yield page
            if page.next is None:
                return
            query = replace(query, after=page.next)

    def _page(self, query: Query, org_id: int | None) -> Page:
        wanted = [self._named(epcs) for epcs in query.epcs]
        if not all(wanted):
            return Page([], None)
        found: list[Event] = []
        after, length = query.after, 0
        for looked, (row, items) in enumerate(_circs(query, min(wanted, key=len, default=None), org_id)):
            if looked == LOOKED_MAX:
                return Page(found, after)
            if items:
                if row.status is CircStatus.PENDING and not query.pending:
                    return Page(found, None)
                more = len(items) * EPC_BYTES + len(row.form)
                if len(found) == query.per_page or (found and length + more > PAGE_BYTES_MAX):
                    return Page(found, after)
                ids = {item.goods_id for item in items}
                event = event_of(_recorded(row, items), self._base) if all(ids & each for each in wanted) else None
                if event is not None and query.takes(event):
                    found.append(event)
                    length += more
            after = row.id
        return Page(found, None)

    def _named(self, epcs: Iterable[str]) -> frozenset[int]:
        """The goods that EPCs name. What names none, or goods by a GTIN that isn't theirs, is in no event."""
        named: list[Epc] = []
        for each in epcs:
            with suppress(ValueError):
                named.append(goods_of(each, self._base))
        gtins = stored.gtins_of_goods({epc.goods_id for epc in named})
        return frozenset(
            epc.goods_id
            for epc in named
            if epc.goods_id in gtins and (epc.gtin is None or epc.gtin == gtins[epc.goods_id])
        )


def of_index(store: Store, clock: Clock) -> Events:
    """The events of a data directory's index, beside a running node or without one."""
    known = store.settings()
    if "contract" not in known:
        raise SetupError("the index belongs to no contract yet: start the node once")
    return Events(store, base_of(int(known["chain_id"]), known["contract"]), clock)


def _circs(query: Query, named: frozenset[int] | None, org_id: int | None) -> Iterator[tuple[stored.Row, Items]]:
    """Circs with their goods, which are left out of a circ that has none of the org's."""
    after = query.after
    while True:
        rows = stored.rows(after, WINDOW, named, *query.recorded_micros())
        ids = [row.id for row in rows]
        sizes = stored.sizes(ids if org_id is None else stored.of_org(ids, org_id))
        for some in _portions(rows, sizes):
            items = stored.items([row.id for row in some if row.id in sizes])
            yield from ((row, tuple(items.get(row.id, ()))) for row in some)
        if len(rows) < WINDOW:
            return
        after = ids[-1]


def _portions(rows: list[stored.Row], sizes: dict[int, int]) -> Iterator[list[stored.Row]]:
    """Circs in portions whose goods are read at once."""
    some: list[stored.Row] = []
    goods = 0
    for row in rows:
        size = sizes.get(row.id, 0)
        if some and goods + size > GOODS_AT_ONCE:
            yield some
            some, goods = [], 0
        some.append(row)
        goods += size
    if some:
        yield some


def _recorded(row: stored.Row, items: Items) -> Recorded:
    return Recorded(
        id=row.id,
        circ_type=row.circ_type,
        operator=row.operator,
        to=row.to,
        form=row.form,
        salt=row.salt,
        trans_id=row.trans_id,
        recorded_at=row.recorded_at,
        items=items,
        is_first=row.is_first,
    )


def _org_of(caller: User | None) -> int:
    user = fresh(caller) if caller is not None else None
    if user is None or user.org_id is None or not has(user.role, Role.PRODUCER):
        raise denied("events of goods that are not named (MATCH_epc) are listed for producers, of their org's goods")
    return user.org_id
