"""``vtrace forms``."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import click

from node.cli.options import DATA_DIR, DB, check_used


@click.group()
def forms() -> None:
    """Look after the forms of a data directory, on the node's own machine."""


@forms.command("export", epilog="Example: vtrace forms export --data-dir ./data > forms.jsonl")
@DATA_DIR
@DB
def forms_export(data_dir: Path, db: str) -> None:
    """Print salt and form of every circ, a line of JSON each, beside a running node or without one.

    Keep it apart from the data directory: with it and the chain, vtrace reindex rebuilds every circ.
    """
    check_used(data_dir, db)
    from node.config import Config
    from node.flow.reindex import export_forms
    from node.opening import index_of

    with closing(index_of(Config(data_dir=data_dir, db=db))) as store:
        total = export_forms(store, sys.stdout)
    click.echo(f"forms: {total} exported", err=True)
