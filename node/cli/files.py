"""``vtrace files``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import DATA_DIR, DB, EXIT_COULD_NOT_CHECK, EXIT_DIFFERENCES, option
from node.config import EMBEDDED, Config

if TYPE_CHECKING:
    from node.flow.files import Files


@click.group()
def files() -> None:
    """Look after the files of a data directory, on the node's own machine."""


@files.command("verify", epilog="Example: vtrace files verify --data-dir ./data")
@DATA_DIR
@DB
@option("--ipfs", default=EMBEDDED, show_default=True, help="Where the files are kept, as for vtrace serve.")
def files_verify(data_dir: Path, db: str, ipfs: str) -> None:
    """Read every file and hold it against its CID, beside a running node or without one.

    Prints each damaged file. Exit code 0: none, 1: some, 2: could not check.
    """
    from node.opening import files_of

    with files_of(Config(data_dir=data_dir, db=db, ipfs=ipfs)) as kept:
        damaged, total, size = _verify(kept)
    click.echo(f"files: {total} files, {size} bytes, {damaged} damaged")
    sys.exit(EXIT_DIFFERENCES if damaged else 0)


def _verify(kept: Files) -> tuple[int, int, int]:
    """How many are damaged, of how many, and their bytes."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from node.flow.files import Unreadable

    stderr = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    shown = Progress(*columns, TimeRemainingColumn(), console=stderr, transient=True, disable=not stderr.is_terminal)
    with shown as bar:
        task = bar.add_task("verifying files", total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        damaged = 0
        try:
            for damage in kept.verify(tell):
                click.echo(str(damage))
                damaged += 1
        except Unreadable as fault:
            click.echo(f"files: could not check: {fault}", err=True)
            sys.exit(EXIT_COULD_NOT_CHECK)
    return damaged, *kept.totals()
