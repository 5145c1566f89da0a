"""Step 4: what the old outbox has and no event of the contract tells of: pending, or refused by the chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice

from node.chain import contract
from node.chain.history import History, read_signed
from node.chain.rpc import Receipt
from node.domain import custody
from node.domain.custody import CustodyError
from node.domain.model import Circ, CircStatus, Rights, ids_of
from node.domain.records import TxKind, TxState
from node.domain.replay import Replay, Unexplained
from node.store.rebuild import ChainCirc, Mined, OldTransaction, Rebuild

BATCH = 100
REFUSED = "the chain refused it, or what it stood on"


class Waiting:
    """Settles the rest of the outbox. ``pending`` and ``failed`` count circs, ``actors`` are still to be registered."""

    def __init__(self, new: Rebuild, history: History, replay: Replay, head: int, confirmations: int) -> None:
        self._new = new
        self._history = history
        self._replay = replay
        self._deep = head - confirmations + 1
        self._rights = {actor.id: actor.rights for actor in replay.actors.values()}
        self.pending = 0
        self.failed = 0
        self.sent_again: set[int] = set()
        self.rights_to_be: dict[int, tuple[Rights, int]] = {}
        self.accounts_to_be: dict[int, tuple[str, int]] = {}

    def settle(self, registering: Mapping[int, tuple[int, Rights]]) -> None:
        """``registering``: by transaction, the actors that the old index expected, with their rights."""
        self._settle_carried()
        rows = self._new.transactions.old(unused=True)
        while some := list(islice(rows, BATCH)):
            receipts = self._history.chain.receipts([row.live_hash for row in some])
            for place, row in enumerate(some):
                if receipts[place] is None:
                    receipts[place] = self._replaced(row)
            for row, receipt in zip(some, receipts, strict=True):
                if row.id in registering and receipt is None:
                    actor, rights = registering[row.id]
                    self._rights.setdefault(actor, rights)
                self._settle(row, receipt)

    def _replaced(self, row: OldTransaction) -> Receipt | None:
        """The receipt of what a transaction was before it was signed again with higher fees."""
        hashes = self._new.transactions.replaced(row.id)
        return next((found for found in self._history.chain.receipts(hashes) if found is not None), None)

    def _settle_carried(self) -> None:
        """Circs that somebody else carried: the node's own transaction must still use its nonce."""
        for circ_id, outbox_id, carrier, signer, nonce, own_hash in self._new.circs.carried():
            (receipt,) = self._history.chain.receipts([own_hash])
            (signed,) = self._history.transactions([carrier])
            if (signed.sender, signed.nonce) == (signer, nonce):
                continue  # it was signed again with other fees
            if receipt is None:
                self._new.transactions.unsend(outbox_id)
                self._new.circs.wait(circ_id)
                continue
            state = TxState.REVERTED if receipt.block_number <= self._deep else TxState.MINED
            self._new.transactions.mark(outbox_id, Mined(state, receipt.block_number, receipt.block_hash, carrier))

    def _settle(self, row: OldTransaction, receipt: Receipt | None) -> None:
        circ = _circ(row) if row.kind == TxKind.CIRC else None
        if receipt is None:
            self._new.transactions.unsend(row.id)
            self.sent_again.add(row.id)
            if circ is not None:
                self._wait(row, circ)
            elif row.kind == TxKind.SET_RIGHTS:
                self._expect_rights(row)
            elif row.kind == TxKind.SET_ACCOUNT:
                self._expect_account(row)
            return
        if receipt.status and circ is not None:
            raise Unexplained(f"the endpoint's logs lack the circ of {row.live_hash}, which the contract took")
        state = TxState.FINAL if receipt.status else TxState.REVERTED
        if receipt.block_number > self._deep:
            state = TxState.MINED
        mined = Mined(state, receipt.block_number, receipt.block_hash, receipt.tx_hash)
        self._new.transactions.mark(row.id, mined)
        if circ is not None:
            self._fail(row, circ)

    def _wait(self, row: OldTransaction, circ: Circ) -> None:
        """A circ that is still to be mined stands on what the chain has and on those before it."""
        try:
            after = custody.apply(circ, self._replay.goods, self._rights)
        except CustodyError:
            self._fail(row, circ)
            return
        self._replay.goods.update(after)
        self.pending += 1
        goods = [(goods_id, state.times - 1) for goods_id, state in after.items()]
        self._add(row, circ, CircStatus.PENDING, goods)

    def _fail(self, row: OldTransaction, circ: Circ) -> None:
        self.failed += 1
        self._add(row, circ, CircStatus.FAILED, [(goods_id, None) for goods_id in ids_of(circ.goods)])

    def _add(
        self, row: OldTransaction, circ: Circ, status: CircStatus, goods: Sequence[tuple[int, int | None]]
    ) -> None:
        made = ChainCirc(int(circ.circ_type), circ.operator, circ.to, circ.form_digest, status, goods)
        self._new.circs.add(made, row.id, REFUSED if status is CircStatus.FAILED else None)

    def _expect_rights(self, row: OldTransaction) -> None:
        signed = read_signed(row.raw)
        found = None if signed is None else contract.decode_set_rights(signed.data)
        if found is not None:
            actor, rights = found
            self._rights[actor] = rights
            self.rights_to_be[actor] = rights, row.id

    def _expect_account(self, row: OldTransaction) -> None:
        signed = read_signed(row.raw)
        found = None if signed is None else contract.decode_set_account(signed.data)
        if found is not None:
            actor, account = found
            self.accounts_to_be[actor] = account, row.id


def _circ(row: OldTransaction) -> Circ | None:
    signed = read_signed(row.raw)
    try:
        return None if signed is None else contract.decode_circulate(signed.data)[0]
    except ValueError:
        return None
