"""An index that is older than its chain, such as one from a backup, brought up to date before the node starts.

It is built anew from the chain, beside the old one, as ``vtrace reindex`` does it: users, keys and forms come from the
old one, what came later from the chain alone. A process that dies in here leaves the old index, and the next start
begins again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import closing

from node.chain.rpc import Chain, ChainUnavailable
from node.config import EMBEDDED, Config
from node.errors import SetupError
from node.flow.ledger import IndexBehind
from node.flow.reindex import NotPossible, Outcome, Stage
from node.opening import Stopped, chain_of, reindexing

POOL_SECONDS_MAX = 60.0
POOL_PAUSE_SECONDS = 0.5
TELL_SECONDS = 10.0
LINES_MAX = 20

log = logging.getLogger(__name__)


def catch_up(config: Config, behind: IndexBehind, stopping: threading.Event) -> None:
    """Rebuild the index of a data directory that nobody has open; SetupError if that would lose what was answered."""
    log.warning("%s; the index is brought up to date from the chain", behind)
    if config.chain != EMBEDDED:
        try:
            _let_the_pool_empty(config, behind.lanes, stopping)
        except ChainUnavailable as fault:
            raise SetupError(f"--chain {config.chain}: {fault}") from fault
    began = time.monotonic()
    told = [began]

    def tell(stage: Stage, done: int, total: int | None) -> None:
        if stopping.is_set():
            raise Stopped
        if time.monotonic() - told[0] >= TELL_SECONDS:
            told[0] = time.monotonic()
            log.info("%s: %s%s", stage.value, done, "" if total is None else f" of {total}")

    try:
        with reindexing(config, None, (), None, tell, may_drop=False) as rebuild:
            outcome = rebuild.run()
    except NotPossible as fault:
        raise SetupError(f"{behind}; it can't be brought up to date: {fault}") from fault
    _report(outcome, time.monotonic() - began)


def _let_the_pool_empty(config: Config, signers: Sequence[str], stopping: threading.Event) -> None:
    """What waits in the chain's pool takes nonces that the rebuilt index could not know to be taken."""
    with closing(chain_of(config, funded=None)) as rpc:
        chain, deadline = Chain(rpc), time.monotonic() + POOL_SECONDS_MAX
        for signer in signers:
            # An endpoint that counts no pool may answer less.
            while (waiting := chain.transaction_count(signer, "pending") - chain.transaction_count(signer)) > 0:
                if time.monotonic() > deadline:
                    raise SetupError(
                        f"{waiting} transactions of signer {signer} wait in the chain's pool that this index does "
                        "not know: start again when they are mined"
                    )
                if stopping.wait(POOL_PAUSE_SECONDS):
                    raise Stopped


def _report(outcome: Outcome, seconds: float) -> None:
    for line in (*outcome.notes, *outcome.lost)[:LINES_MAX]:
        log.warning("%s", line)
    log.warning(
        "the index is up to date with block %d after %.1f s: %d circs, %d pending, %d failed; %d forms and %d "
        "other things are lost (vtrace reindex --forms attaches forms that turn up)",
        outcome.block,
        seconds,
        outcome.circs,
        outcome.pending,
        outcome.failed,
        outcome.missing_forms,
        len(outcome.lost),
    )
