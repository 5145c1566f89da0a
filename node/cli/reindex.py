"""``vtrace reindex``."""

from __future__ import annotations

import gc
import logging
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import DATA_DIR, DB, EXIT_COULD_NOT_CHECK, EXIT_DIFFERENCES, MASTER_KEY, option
from node.config import EMBEDDED, Config, KeySource, is_base_url
from node.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.flow.reindex import Outcome, Stage, Tell

LINES_MAX = 1_000


@click.command(epilog="Example: vtrace reindex --data-dir ./data --check")
@DATA_DIR
@DB
@option("--chain", default=EMBEDDED, show_default=True, help="The chain, as for vtrace serve.")
@option("--confirmations", type=int, help="Blocks that make a circ final, as for vtrace serve.")
@option("--contract", help="Address of the contract. Needed only where the old index does not say it any more.")
@option(
    "--forms",
    "exports",
    multiple=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file that vtrace forms export made; may be given again.",
)
@option("--ipfs", default=EMBEDDED, show_default=True, help="Where published forms are kept, as for vtrace serve.")
@option("--files", "files_url", help="Base of addresses under which published forms are: another node, or a gateway.")
@MASTER_KEY
@option(
    "--signer-key",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    help="File with the key of an account that pays, as for vtrace serve. Needed only where the old index is gone.",
)
@option("--check", is_flag=True, help="Change nothing; say what the index says otherwise than the chain.")
def reindex(
    data_dir: Path,
    db: str,
    chain: str,
    confirmations: int | None,
    contract: str | None,
    exports: tuple[Path, ...],
    ipfs: str,
    files_url: str | None,
    master_key: KeySource | None,
    signer_key: tuple[Path, ...],
    check: bool,
) -> None:
    """Build the index of a stopped node anew from the chain: circs, holders and times.

    Forms are attached by their digest: from the old index, from exports, from published blocks. Users, orgs, files and
    keys come from the old index alone. The old index stays beside the new one as index.sqlite3.before-reindex; one in
    PostgreSQL stays in the data directory, as index.copy.sqlite3.before-reindex.

    Exit code 0: all could be had (with --check: nothing differs); 1: some of it is lost (something differs), and what
    is printed; 2: it could not be done, and nothing was changed.
    """
    logging.getLogger().setLevel(logging.WARNING)
    try:
        code = _run(
            Config(
                data_dir=data_dir,
                db=db,
                chain=chain,
                confirmations=confirmations,
                ipfs=ipfs,
                master_key=master_key,
                signer_keys=signer_key,
            ),
            contract,
            exports,
            files_url,
            check=check,
        )
    except SetupError as fault:
        click.echo(f"reindex: could not be done: {fault}", err=True)
        code = EXIT_COULD_NOT_CHECK
    except (Exception, KeyboardInterrupt) as fault:  # exit code 1 must mean losses or differences, whatever happens
        logging.getLogger(__name__).debug("reindex failed", exc_info=True)
        click.echo(f"reindex: could not be done: {type(fault).__name__}: {fault}", err=True)
        code = EXIT_COULD_NOT_CHECK
    sys.exit(code)


def _run(config: Config, contract: str | None, exports: tuple[Path, ...], files_url: str | None, *, check: bool) -> int:
    if files_url is not None and not is_base_url(files_url):
        raise SetupError(f"--files {files_url}: want an http(s) URL such as https://trace.example.com")
    from node.flow.reindex import NotPossible
    from node.opening import reindexing

    try:
        with (
            _rarely_collected(),
            _progress() as tell,
            reindexing(config, contract, exports, files_url, tell) as rebuild,
        ):
            if check:
                outcome, differences = rebuild.check(LINES_MAX)
            else:
                outcome, differences = rebuild.run(), []
    except NotPossible as fault:
        raise SetupError(str(fault)) from fault
    if check:
        for difference in differences:
            click.echo(str(difference))
        more = "+" if len(differences) == LINES_MAX else ""
        click.echo(f"reindex --check: {_summary(outcome)}: {len(differences)}{more} differences")
        return EXIT_DIFFERENCES if differences else 0
    for line in (*outcome.notes, *outcome.lost)[:LINES_MAX]:
        click.echo(line)
    click.echo(f"reindex: {_summary(outcome)}: {outcome.missing_forms} forms missing, {len(outcome.lost)} losses")
    return 0 if outcome.is_whole else EXIT_DIFFERENCES


@contextmanager
def _rarely_collected() -> Iterator[None]:
    """Python looks for cycles less often: what is read holds none, and the looking took a tenth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _summary(outcome: Outcome) -> str:
    waiting = f"{outcome.pending} pending, {outcome.failed} failed"
    return f"block {outcome.block}, {outcome.actors} actors, {outcome.goods} goods, {outcome.circs} circs, {waiting}"


@contextmanager
def _progress() -> Iterator[Tell]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    stderr = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True, disable=not stderr.is_terminal) as bar:
        task = bar.add_task("reindex", total=None)
        last: list[Stage] = []

        def tell(stage: Stage, done: int, total: int | None) -> None:
            if last[-1:] != [stage]:
                last.append(stage)
                bar.reset(task, description=stage.value, total=total)
            bar.update(task, completed=done, total=total)

        yield tell
