"""Publishing forms: ``salt ‖ form`` of every circ that is not private as a raw block in the store of files.

The block's CID (CIDv1, raw, sha2-256) has the circ's formDigest as its digest, so whoever has the chain finds the form.
Recording knows nothing of it: what is not published yet is looked up in the index, block by block, whenever the store
of files answers. A block is kept before the index says so; a process that dies in between publishes it again, which
changes nothing.
"""

from __future__ import annotations

from node.domain import cid as cids
from node.files.keeper import FileKeeper, KeeperUnavailable
from node.flow.worker import TryLater
from node.store import published
from node.store.lead import Index

BATCH_MAX = 20


class Publisher:
    """Publishes what is not yet published, the oldest first. ``step`` is one batch."""

    def __init__(self, store: Index, keeper: FileKeeper) -> None:
        self._store = store
        self._keeper = keeper
        self._done_up_to = 0

    def step(self) -> bool:
        """Publish one batch; answers whether there may be more at once. TryLater where the store can't keep it now."""
        with self._store.read():
            batch = published.waiting(self._done_up_to, BATCH_MAX)
        kept: list[tuple[int, str, int]] = []
        try:
            for circ_id, block in batch:
                kept.append((circ_id, self._keep(block), len(block)))
        except KeeperUnavailable as fault:
            raise TryLater(f"forms wait to be published: {fault}") from fault
        except OSError as fault:
            raise TryLater(f"forms wait to be published: the store of files: {fault.strerror}") from fault
        finally:
            if kept:
                with self._store.write():
                    published.add(kept)
                self._done_up_to = kept[-1][0]
        return len(batch) == BATCH_MAX

    def _keep(self, block: bytes) -> str:
        part = self._keeper.stage([block])
        if part.cid != str(cids.of_raw(block)):
            raise AssertionError(f"{part.cid} is not the CID of a raw block of {len(block)} bytes")
        try:
            self._keeper.keep(part, lambda: None)
        except BaseException:
            self._keeper.discard(part)
            raise
        return part.cid
