"""``vtrace keys change-master``."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from node.cli.options import DATA_DIR, DB, MASTER_KEY, check_used, option
from node.config import Config, KeySource


@click.command("change-master", epilog="Example: vtrace keys change-master --data-dir ./data")
@DATA_DIR
@DB
@MASTER_KEY
@option(
    "--new-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the new key, made there if there is none. Default: a new one in the present key's file.",
)
def change_master(data_dir: Path, db: str, master_key: KeySource | None, new_key: Path | None) -> None:
    """Seal everything of a stopped node under another master key.

    A process that dies in between leaves a data directory that the next start understands: either key, whole.
    """
    check_used(data_dir, db)
    from node.claim import claim_directory
    from node.opening import copies_of, open_store
    from node.unlocking import change

    config = Config(data_dir=data_dir, db=db, master_key=master_key)
    with claim_directory(config):
        store, seal = open_store(config, alone=True)
        with closing(store):
            total = change(config, store, seal, new_key)
    click.echo(f"{total} values are sealed under the new master key; the old one opens nothing of the index any more")
    if new_key is not None:
        click.echo(f"name the new key from now on: --master-key {new_key}", err=True)
    for copy in copies_of(config):
        click.echo(f"{copy} is still sealed under the old key. So are backups.", err=True)
