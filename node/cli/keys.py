"""``vtrace keys``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from node.cli.change_master import change_master
from node.cli.options import DATA_DIR, DB, MASTER_KEY, check_used, option
from node.config import Config, KeySource


@click.group()
def keys() -> None:
    """Manage a data directory's own keys, on the node's machine."""


@keys.command("rotate", epilog="Example: vtrace keys rotate --data-dir ./data")
@DATA_DIR
@DB
@MASTER_KEY
@option("--revoke", is_flag=True, help="End every token at once, for a key that somebody else may have.")
def keys_rotate(data_dir: Path, db: str, master_key: KeySource | None, revoke: bool) -> None:
    """Sign tokens with a new key from now on; prints its id.

    A running node takes the new key up within a second. Tokens of the key before stay good until they expire, at most
    an hour later.
    """
    check_used(data_dir, db)
    from node.api.auth import Tokens
    from node.clock import now_micros
    from node.flow.token_keys import rotate
    from node.opening import open_store

    store, seal = open_store(Config(data_dir=data_dir, db=db, master_key=master_key))
    with closing(store):
        click.echo(rotate(store, seal, now_micros, Tokens.new_seed, revoke=revoke).kid)


keys.add_command(change_master)
