"""``vtrace user``: what the node knows of a person."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import click

from node.cli.options import DATA_DIR, DB, MASTER_KEY, check_used, option
from node.config import Config, KeySource


@click.group()
def user() -> None:
    """Answer what a person asks of its own data, on the node's own machine."""


@user.command("export", epilog="Example: vtrace user export u0123456789abcdef --data-dir ./data > person.json")
@DATA_DIR
@DB
@MASTER_KEY
@click.argument("username")
def user_export(data_dir: Path, db: str, master_key: KeySource | None, username: str) -> None:
    """Print all that the node knows of USERNAME as JSON, beside a running node or without one.

    Passwords and keys are left out. Times are microseconds since 1970.
    """
    check_used(data_dir, db)
    from node.clock import now_micros
    from node.flow.subject import export
    from node.opening import open_store

    store, seal = open_store(Config(data_dir=data_dir, db=db, master_key=master_key))
    with closing(store):
        export(store, seal, username, sys.stdout, now_micros)


@user.command("erase", epilog="Example: vtrace user erase u0123456789abcdef --data-dir ./data")
@DATA_DIR
@DB
@MASTER_KEY
@click.argument("username")
@option("--yes", is_flag=True, help="Don't ask whether it is meant.")
def user_erase(data_dir: Path, db: str, master_key: KeySource | None, username: str, yes: bool) -> None:
    """Delete USERNAME of a stopped node, and forget who it was.

    Gone are phone, e-mail, real name, resident id, nickname, picture, password, the legal representative of its orgs,
    kept answers, and salt and form of every circ that it marked private. History, username and files stay.
    """
    check_used(data_dir, db)
    if not yes:
        click.confirm(f"This can't be taken back. Erase {username}?", abort=True)
    from node.claim import claim_directory
    from node.clock import now_micros
    from node.flow.subject import erase
    from node.opening import copies_of, open_store

    config = Config(data_dir=data_dir, db=db, master_key=master_key)
    with claim_directory(config):
        store, seal = open_store(config, alone=True)
        with closing(store):
            done = erase(store, seal, username, now_micros)
    click.echo(f"{done.username} is erased; private forms forgotten: {done.forms}")
    for copy in copies_of(config):
        click.echo(f"{copy} may still have it: remove it. So may backups.", err=True)
