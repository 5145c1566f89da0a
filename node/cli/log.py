"""``vtrace log``."""

from __future__ import annotations

import json
import re
import sys
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import DATA_DIR, DB, EXIT_COULD_NOT_CHECK, EXIT_DIFFERENCES, MASTER_KEY, RPC, check_used, option
from node.config import Config, KeySource
from node.errors import SetupError

if TYPE_CHECKING:
    from node.chain.rpc import Chain
    from node.flow.log_check import Checked

_TIME = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d)?Z?)?", re.ASCII)


@click.group()
def log() -> None:
    """Read and verify the audit log of a data directory, on the node's own machine."""


@log.command("show", epilog="Example: vtrace log show --since 2026-11-01 --user u0123456789abcdef --data-dir ./data")
@DATA_DIR
@DB
@MASTER_KEY
@option("--since", help="Only entries from this time on: YYYY-MM-DD or YYYY-MM-DDTHH:MM[:SS], UTC.")
@option("--until", help="Only entries from before this time.")
@option("--user", help="Only entries by or about this username; 'operator' for commands on the node's machine.")
def log_show(
    data_dir: Path, db: str, master_key: KeySource | None, since: str | None, until: str | None, user: str | None
) -> None:
    """Print the entries, a JSON object a line, oldest first; beside a running node or without one."""
    after, before = _time("--since", since) or "", _time("--until", until)
    check_used(data_dir, db)
    from node.flow.log_check import entries
    from node.opening import open_store

    store, seal = open_store(Config(data_dir=data_dir, db=db, master_key=master_key))
    with closing(store):
        for entry in entries(seal, after, before, user):
            click.echo(json.dumps(entry))


@log.command("verify", epilog="Example: vtrace log verify --data-dir ./data --rpc http://127.0.0.1:8545")
@DATA_DIR
@DB
@MASTER_KEY
@option("--rpc", help=f"{RPC} Without it the embedded chain of a stopped node.")
def log_verify(data_dir: Path, db: str, master_key: KeySource | None, rpc: str | None) -> None:
    """Verify that no entry of the audit log was changed, removed or put in, and hold its anchors against the chain.

    Beside a running node or without one. Exit code 0: all is well; 1: something differs; 2: nothing differs, but not
    everything could be checked.
    """
    check_used(data_dir, db)
    from node.flow.log_check import check
    from node.opening import open_store

    config = Config(data_dir=data_dir, db=db, master_key=master_key)
    with ExitStack() as opened:
        store, seal = open_store(config)
        opened.callback(store.close)
        checked = check(store, seal, lambda: _chain(config, rpc, opened))
    _print(checked)
    sys.exit(EXIT_DIFFERENCES if checked.different else EXIT_COULD_NOT_CHECK if checked.unchecked else 0)


def _chain(config: Config, rpc: str | None, opened: ExitStack) -> Chain:
    from node.chain.embedded import EmbeddedChain, LedgerError
    from node.chain.rpc import Chain, HttpRpc, JsonRpc
    from node.claim import claim_directory

    endpoint: JsonRpc
    if rpc is not None:
        try:
            endpoint = HttpRpc(rpc)
        except ValueError as fault:
            raise SetupError(f"--rpc {rpc}: {fault}") from fault
    else:
        if not config.chain_path.exists():
            raise SetupError("the data directory has no chain of its own: name an endpoint with --rpc")
        try:
            opened.enter_context(claim_directory(config))
            endpoint = EmbeddedChain.existing(config.chain_path)
        except SetupError as fault:
            raise SetupError(f"{fault}; or name an endpoint of its chain with --rpc") from fault
        except LedgerError as fault:
            raise SetupError(str(fault)) from fault
    opened.callback(endpoint.close)
    return Chain(endpoint)


def _print(checked: Checked) -> None:
    from node.domain.log_entry import written

    for difference in checked.differences:
        click.echo(f"DIFFERS {difference}")
    if checked.different > len(checked.differences):
        click.echo(f"DIFFERS {checked.different - len(checked.differences)} more")
    for what in checked.unchecked:
        click.echo(f"NOT CHECKED {what}")
    click.echo(f"log: {checked.entries} entries, head {checked.head.hex()}")
    if checked.first is not None and checked.anchored is not None:
        last = checked.anchored
        click.echo(
            f"anchored: daily since {written(checked.first.at)}, last entry {last.number} at {written(last.at)} "
            f"in block {checked.block}, transaction {last.tx_hash}"
        )
    elif not checked.anchors:
        click.echo("anchored: not yet")
    if checked.waiting:
        click.echo(f"on their way to the chain: {checked.waiting}")
    behind = checked.entries - (checked.anchored.number if checked.anchored else 0)
    click.echo(f"entries after the last anchor: {behind}")


def _time(flag: str, given: str | None) -> str | None:
    """A time as entries have it, so that it compares with theirs."""
    if given is None:
        return None
    try:
        if not _TIME.fullmatch(given):
            raise ValueError
        return f"{datetime.fromisoformat(given.removesuffix('Z')).replace(tzinfo=UTC):%Y-%m-%dT%H:%M:%S}.000000Z"
    except ValueError:
        raise click.BadParameter(f"{flag} {given}: want YYYY-MM-DD or YYYY-MM-DDTHH:MM[:SS], UTC") from None
