"""One of the processes of ``vtrace serve --workers N``; only that starts it, with its orders on stdin.

stdin is one end of a pair of sockets. The parent sends the Order first and then nothing; that its end is closed means
that it is gone, and this process ends too. It is told what became of this one: Started, Failed, and Beats in between.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from node.cli.orders import Beat, Behind, Failed, Order, Started
from node.errors import SetupError

if TYPE_CHECKING:
    from node.app import Ready

END_SECONDS_MAX = 60
"""How long a process may take to end once the parent is gone."""
EXIT_FAILED = 1

log = logging.getLogger("node.cli.worker")


def main() -> None:
    """Run until SIGTERM, or until the parent is gone."""
    from node.app import Member
    from node.cli.log_format import set_up_logging
    from node.cli.running import run, stop_at_signals
    from node.flow.ledger import IndexBehind
    from node.flow.tallies import shared_tables
    from node.flow.wakes import Pipe
    from node.telemetry.logs import speak

    os.umask(0o077)
    parent: Connection = Connection(os.dup(sys.stdin.fileno()))
    os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())  # commands that this one runs get no hold of it
    try:
        order = parent.recv()
    except EOFError:  # it was killed in between
        return
    assert isinstance(order, Order)
    set_up_logging(order.number)
    speak(order.config.log_format, str(order.number))
    stopping = stop_at_signals()
    threading.Thread(target=_end_with, args=(parent, stopping), name="parent", daemon=True).start()

    def tell(what: Started | Failed | Behind | Beat) -> None:
        try:
            parent.send(what)
        except OSError:
            stopping.set()  # it is gone

    def ready(said: Ready) -> None:
        tell(Started(said.chain_id, said.contract))

    try:
        run(
            order.config,
            stopping,
            ready,
            beat=lambda: tell(Beat()),
            member=Member(order.number, Pipe(order.reading, order.writing), shared_tables(order.tallies)),
        )
    except IndexBehind as behind:
        tell(Behind(behind.unknown))
        sys.exit(EXIT_FAILED)
    except SetupError as fault:
        tell(Failed(str(fault)))
        sys.exit(EXIT_FAILED)


def _end_with(parent: Connection, stopping: threading.Event) -> None:
    """Nobody would start this process again, or end it: so it ends with its parent."""
    try:
        parent.recv()
    except (EOFError, OSError):
        if not stopping.is_set():
            log.warning("the process that started this one is gone: ending")
    stopping.set()
    time.sleep(END_SECONDS_MAX)
    log.error("did not end within %d s", END_SECONDS_MAX)
    os._exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
