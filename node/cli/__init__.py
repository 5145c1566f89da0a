"""The command ``vtrace``: a module for each of its commands."""

from __future__ import annotations

import os
from typing import Any

import click

from node import __version__
from node.cli.admin import admin
from node.cli.audit import audit
from node.cli.backup import backup, restore
from node.cli.circ import circ
from node.cli.demo import play_demo
from node.cli.epcis import epcis
from node.cli.files import files
from node.cli.forms import forms
from node.cli.keys import keys
from node.cli.labels import labels
from node.cli.log import log
from node.cli.log_format import set_up_logging
from node.cli.proof import proof
from node.cli.reindex import reindex
from node.cli.serve import serve
from node.cli.status import status
from node.cli.user import user
from node.errors import SetupError, VTraceError


class Failing(click.Group):
    """Turns the errors that a person can mend into one line and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SetupError as fault:
            raise click.ClickException(str(fault)) from fault
        except VTraceError as fault:
            raise click.ClickException(fault.message) from fault


@click.group(cls=Failing, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vtrace")
def main() -> None:
    """VTrace: records what happens to goods, anchored on a blockchain, checked by anyone.

    Every option can also be set in the environment: --data-dir is VTRACE_DATA_DIR, and so on.
    """
    # Whatever the command writes is for its user alone: phones, names and keys stand in it.
    os.umask(0o077)
    set_up_logging()


for _command in (
    serve,
    circ,
    labels,
    status,
    audit,
    proof,
    play_demo,
    backup,
    restore,
    reindex,
    files,
    forms,
    epcis,
    keys,
    user,
    log,
    admin,
):
    main.add_command(_command)
