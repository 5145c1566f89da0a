"""Reading what anybody may read: goods, their history, and the contract's name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from node.chain import contract
from node.chain.rpc import CallReverted, Chain
from node.chain.transport import ChainUnavailable
from node.domain import limits
from node.domain.files import named_in
from node.domain.pages import Listing
from node.domain.records import CircRecord, Goods
from node.domain.trace import Trace, shown_of
from node.errors import Reason, Status, VTraceError, invalid, not_found
from node.flow.ledger import Ledger
from node.store import changes, circs, files, products, trace
from node.store.db import Store

FILES_SHOWN_MAX = 200
CIRC_BYTES_MAX = 1_024
"""More bytes than a circ takes beside its form, the files that it names, and the reason."""


class Shown(Protocol):
    """Circs as they are answered: what has been added, how many bytes that is, and the last one taken back."""

    def add(self, circ: CircRecord) -> None: ...

    def length(self) -> int: ...

    def drop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """What of a history is asked for: ``size`` circs at most behind what ``token`` stands for; without both the whole.

    ``room`` is how many bytes there may be.
    """

    size: int
    token: str
    room: int

    @property
    def is_bounded(self) -> bool:
        """Whether it may be a part of the history."""
        return bool(self.size or self.token)

    @property
    def rows(self) -> int:
        """Circs at most."""
        return self.size or limits.LIST_ROWS_MAX


def _too_long() -> VTraceError:
    want = f"1 to {limits.LIST_ROWS_MAX}: the history does not fit into one answer, ask for it in pages"
    return invalid("page_size", 0, want)


class _History:
    """The circs of one goods, read anew each time that they are gone through."""

    def __init__(self, goods_id: int) -> None:
        self._goods_id = goods_id

    def __iter__(self) -> Iterator[CircRecord]:
        return circs.history(self._goods_id)


class Query:
    """Questions that need no caller."""

    def __init__(self, store: Store, chain: Chain, ledger: Ledger) -> None:
        self._store = store
        self._chain = chain
        self._ledger = ledger
        self._name = ""

    def goods(self, goods_id: int) -> Goods:
        """One goods with its serial and class."""
        found = products.goods(limits.identifier("goods_id", goods_id))
        if found is None:
            raise not_found(Reason.GOODS_NOT_FOUND, "goods_id", goods_id)
        return found

    def history(self, goods_id: int, page: HistoryPage, shown: Shown) -> tuple[Goods, str]:
        """One goods and the next page's token; its circs of a page go to ``shown``, oldest first, as they stood at one
        moment.

        A page has ``page.room`` bytes at most. A history without bounds is shown whole, or refused where it does not
        fit.
        """
        with self._store.read():
            goods = self.goods(goods_id)
            listing = Listing(f"circs {changes.epoch()}", goods_id) if page.is_bounded else None
            after = listing.after(page.token) if listing is not None else 0
            left = page.room
            for rows, circ in enumerate(circs.history(goods_id, after)):
                if listing is not None and rows == page.rows:
                    return goods, listing.token(after)
                shown.add(circ)
                left -= 2 * len(circ.form) + len(circ.reason.encode()) + CIRC_BYTES_MAX
                if left < 0:  # perhaps
                    left = page.room - shown.length()
                if left < 0:
                    if listing is None:
                        raise _too_long()
                    shown.drop()
                    return goods, listing.token(after)
                after = circ.id
            return goods, ""

    def trace(self, goods_id: int) -> Trace:
        """All that a page of one goods shows, as it stood at one moment."""
        with self._store.read():
            goods = self.goods(goods_id)
            shown, left_out = shown_of(_History(goods_id))
            names = {name for circ in shown for name in (circ.operator, circ.to)}
            cids = dict.fromkeys(cid for circ in shown for cid in named_in(circ.form))
            found = [files.file(cid) for cid in list(cids)[:FILES_SHOWN_MAX]]
            return Trace(
                goods,
                shown,
                left_out,
                trace.placed(goods_id) if shown else {},
                trace.parties(names),
                {file.cid: file for file in found if file is not None},
            )

    def contract_name(self) -> str:
        """What the contract itself says it is called; asked of the chain once."""
        if not self._name:
            try:
                self._name = contract.decode_name(self._chain.call(self._ledger.contract, contract.name_data()))
            except (ChainUnavailable, CallReverted, ValueError) as fault:
                raise VTraceError(
                    Reason.SERVICE_OFFLINE,
                    "the chain can't be asked now: try again later",
                    status=Status.UNAVAILABLE,
                    retry_seconds=1,
                ) from fault
        return self._name
