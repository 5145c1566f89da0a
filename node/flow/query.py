"""Reading what anybody may read: goods, their history, and the contract's name."""

from __future__ import annotations

from node.chain import contract
from node.chain.rpc import CallReverted, Chain
from node.chain.transport import ChainUnavailable
from node.domain.files import named_in
from node.domain.limits import identifier
from node.domain.records import CircRecord, Goods
from node.domain.trace import Trace, shown_of
from node.errors import Reason, Status, VTraceError, not_found
from node.flow.ledger import Ledger
from node.store import circs, files, products, trace
from node.store.db import Store

FILES_SHOWN_MAX = 200


class Query:
    """Questions that need no caller."""

    def __init__(self, store: Store, chain: Chain, ledger: Ledger) -> None:
        self._store = store
        self._chain = chain
        self._ledger = ledger
        self._name = ""

    def goods(self, goods_id: int) -> Goods:
        """One goods with its serial and class."""
        found = products.goods(identifier("goods_id", goods_id))
        if found is None:
            raise not_found(Reason.GOODS_NOT_FOUND, "goods_id", goods_id)
        return found

    def history(self, goods_id: int) -> tuple[Goods, list[CircRecord]]:
        """One goods and its circs, oldest first, as they stood at one moment."""
        with self._store.read():
            return self.goods(goods_id), circs.history(goods_id)

    def trace(self, goods_id: int) -> Trace:
        """All that a page of one goods shows, as it stood at one moment."""
        with self._store.read():
            goods = self.goods(goods_id)
            shown, left_out = shown_of(circs.history(goods_id))
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
