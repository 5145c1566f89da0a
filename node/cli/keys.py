"""``vtrace keys``."""

from __future__ import annotations

import click

from node.cli.change_master import change_master


@click.group()
def keys() -> None:
    """Look after the keys of a data directory, on the node's own machine."""


keys.add_command(change_master)
