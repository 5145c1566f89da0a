"""``vtrace backup`` and ``vtrace restore``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from node.cli.options import DATA_DIR, DB, check_used, option
from node.config import Config
from node.errors import SetupError

NICENESS = 10
MIB = 1024 * 1024

_PASSPHRASE = option(
    "--passphrase-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File whose first line is the passphrase, mode 0600. Without it you are asked.",
)
_FILE = click.argument("file", type=click.Path(dir_okay=False, path_type=Path))


@click.command(epilog="Example: vtrace backup /mnt/monday.vtrace --data-dir ./data --passphrase-file backup.key")
@_FILE
@DATA_DIR
@DB
@_PASSPHRASE
def backup(file: Path, data_dir: Path, db: str, passphrase_file: Path | None) -> None:
    """Write a whole node into one encrypted FILE, beside the running node or without it.

    The file holds the index, the embedded chain, files, and master.key if that is in the data directory. It is in the
    age format: without the passphrase nothing can be read, and what was changed or cut is not restored.
    """
    os.nice(NICENESS)  # first of all: loading the program is work too
    check_used(data_dir, db)
    config = Config(data_dir=data_dir, db=db)
    from node.backup.making import make
    from node.clock import now_micros
    from node.opening import hold_use, refuse_half_restored

    refuse_half_restored(config)
    passphrase = _passphrase(passphrase_file, is_new=True)
    with hold_use(config, alone=False), _progress("backup") as tell:
        made = make(config, file, passphrase, now_micros, tell)
    key = "with its master key" if made.has_master_key else "WITHOUT its master key, which is kept elsewhere"
    click.echo(f"{file}: {file.stat().st_size / MIB:,.1f} MiB, contract {made.contract}, {key}")


@click.command(epilog="Example: vtrace restore monday.vtrace --data-dir ./data --passphrase-file backup.key")
@_FILE
@DATA_DIR
@DB
@_PASSPHRASE
def restore(file: Path, data_dir: Path, db: str, passphrase_file: Path | None) -> None:
    """Make a data directory from a backup, in a new or an empty folder: all of it, or nothing.

    A backup of an index in PostgreSQL is restored to an empty database (--db).

    End the node that the backup was made of first: two nodes with the same keys get in each other's way. What was
    recorded after the backup is read from the chain when the node starts.
    """
    from node.backup.restoring import restore as unpack
    from node.claim import claim_directory

    if not file.is_file():
        raise SetupError(f"{file}: there is no such file")
    passphrase = _passphrase(passphrase_file, is_new=False)
    config = Config(data_dir=data_dir, db=db)
    with claim_directory(config), _progress("restore") as tell:
        made = unpack(file, config, passphrase, tell)
    key = "" if made.has_master_key else "; its master key is not in it: name it (--master-key)"
    click.echo(f"{data_dir}: contract {made.contract}, chain {made.chain_id}{key}")


def _passphrase(path: Path | None, *, is_new: bool) -> str:
    from node.backup import passphrase

    if path is not None:
        return passphrase.from_file(path)
    return passphrase.long_enough(
        "passphrase", str(click.prompt("Passphrase", hide_input=True, confirmation_prompt=is_new))
    )


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    stderr = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
