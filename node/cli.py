"""The command ``vtrace``."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import click

from node import __version__
from node.config import EMBEDDED, SQLITE, Config
from node.errors import SetupError, VTraceError

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
EXIT_DIFFERENCES = 1
EXIT_COULD_NOT_CHECK = 2

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("vtrace-data"),
    show_default=True,
    help="Where the node keeps everything; made at first start.",
)
MASTER_KEY = click.option(
    "--master-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the master key (64 hex digits, mode 0600). Default: DIR/master.key, made at first start.",
)


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


@click.group(cls=Failing, context_settings={"auto_envvar_prefix": "VTRACE", "help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vtrace")
def main() -> None:
    """VTrace: records what happens to goods, anchored on a blockchain, checked by anyone.

    Every option can also be set in the environment: --data-dir is VTRACE_DATA_DIR, and so on.
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT)


@main.command(epilog="Example: vtrace serve --data-dir ./data --grpc 0.0.0.0:50051 --chain http://127.0.0.1:8545")
@DATA_DIR
@click.option("--grpc", default="127.0.0.1:50051", show_default=True, help="HOST:PORT for gRPC; port 0: a free one.")
@click.option("--http", default="127.0.0.1:8080", show_default=True, help="HOST:PORT for HTTP; port 0: a free one.")
@click.option(
    "--chain",
    default=EMBEDDED,
    show_default=True,
    help="embedded, or the URL of an EVM network's JSON-RPC.",
)
@click.option(
    "--ipfs",
    type=click.Choice([EMBEDDED]),
    default=EMBEDDED,
    show_default=True,
    help="Where files are kept. This version takes no uploads yet.",
)
@click.option("--db", type=click.Choice([SQLITE]), default=SQLITE, show_default=True, help="What holds the index.")
@click.option(
    "--confirmations",
    type=int,
    help="Blocks that make a circ final. Default: 1 on the embedded chain, 12 elsewhere.",
)
@MASTER_KEY
@click.option(
    "--signer-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the key (64 hex digits) of the account that pays. Default: one made at first start.",
)
def serve(
    data_dir: Path,
    grpc: str,
    http: str,
    chain: str,
    ipfs: str,
    db: str,
    confirmations: int | None,
    master_key: Path | None,
    signer_key: Path | None,
) -> None:
    """Run a node until SIGTERM or SIGINT.

    When it is ready, it prints one line of JSON to stdout; logs go to stderr.
    """
    del ipfs, db  # each has one choice in this version
    from node.app import Node

    config = Config(
        data_dir=data_dir,
        grpc=grpc,
        http=http,
        chain=chain,
        confirmations=confirmations,
        master_key=master_key,
        signer_key=signer_key,
    )
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    node = Node(config, on_fatal=stopping.set)
    try:
        ready = node.start()
        line = {
            "event": "ready",
            "grpc": ready.grpc,
            "http": ready.http,
            "chain_id": ready.chain_id,
            "contract": ready.contract,
        }
        click.echo(json.dumps(line))
        stopping.wait()
    finally:
        node.stop()
    if node.fault is not None:
        raise SetupError(f"the node stopped: {node.fault}")


@main.group()
def admin() -> None:
    """Manage a data directory's users, on the node's own machine."""


@admin.command("create", epilog="Example: vtrace admin create --phone 13800138000 --nickname Ops --data-dir ./data")
@DATA_DIR
@MASTER_KEY
@click.option("--phone", required=True, help="The login: a mobile number of 11 digits.")
@click.option("--nickname", default="admin", show_default=True)
@click.option("--password", prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for when not given.")
def admin_create(data_dir: Path, master_key: Path | None, phone: str, nickname: str, password: str) -> None:
    """Make an admin; prints the username."""
    from node.domain.roles import Role

    user = _people(data_dir, master_key).register(phone, nickname, password, Role.ADMIN)
    click.echo(user.username)


@admin.command("grant", epilog="Example: vtrace admin grant u0123456789abcdef examiner --data-dir ./data")
@DATA_DIR
@MASTER_KEY
@click.argument("username")
@click.argument("role")
def admin_grant(data_dir: Path, master_key: Path | None, username: str, role: str) -> None:
    """Give USERNAME the ROLE normal, transporter, examiner or admin."""
    user = _people(data_dir, master_key).grant(username, role)
    click.echo(f"{user.username} is {user.role.value}")


def _people(data_dir: Path, master_key: Path | None) -> Any:
    """The rules of users over a data directory, beside or without a running node.

    The running node gives the user's actor its new rights on the chain before the actor's next circ.
    """
    from node.app import open_store
    from node.clock import now_micros
    from node.flow.people import People

    store, seal = open_store(Config(data_dir=data_dir, master_key=master_key))
    return People(store, seal, now_micros, role_changed=lambda _: None, submitted=lambda: None)


if __name__ == "__main__":
    main()
