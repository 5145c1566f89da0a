"""``vtrace demo``."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.admin import people_of
from node.cli.audit import run_audit
from node.cli.options import DB, EXIT_DIFFERENCES, RPC, check_used, option
from node.cli.tls import client_of, node_option
from node.config import Config
from node.errors import SetupError

if TYPE_CHECKING:
    from node.api.client import NodeClient

PLAIN_WIDTH = 100


@click.command(
    "demo", epilog="Example: vtrace demo, or beside a running node: vtrace demo --node … --rpc … --contract …"
)
@node_option(" Default: a fresh node of its own, gone afterwards.")
@option("--rpc", help=RPC)
@option("--contract", help="Address of the running node's contract, as its ready line says.")
@option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The running node's data directory (to make an examiner), or where the fresh node is to stay.",
)
@DB
def play_demo(node_address: str | None, rpc: str | None, contract: str | None, data_dir: Path | None, db: str) -> None:
    """Play a coffee supply chain through a node: from a harvest to a roast, then its history and its audit."""
    logging.getLogger().setLevel(logging.WARNING)
    if node_address is not None:
        if rpc is None or contract is None or data_dir is None:
            raise click.UsageError("with --node, name --rpc, --contract and --data-dir of that node too")
        check_used(data_dir, db)
        with people_of(data_dir, db, None) as people:
            _play(client_of(node_address), rpc, contract, people.grant)
        return
    from tempfile import TemporaryDirectory

    from node.api.client import NodeClient
    from node.app import Node

    with TemporaryDirectory(prefix="vtrace-demo-") as temporary:
        home = data_dir or Path(temporary)
        node = Node(Config(home, "127.0.0.1:0", "127.0.0.1:0"), on_fatal=lambda: None)
        try:
            ready = node.start()
            _play(NodeClient(ready.grpc), f"http://{ready.http}/rpc", ready.contract, node.people.grant)
        finally:
            node.stop()


def _play(opened: NodeClient, rpc: str, contract: str, grant: Callable[[str, str], object]) -> None:
    from rich.console import Console

    from node.api.client import Refused
    from node.api.demo import Demo
    from node.flow.audit import AuditImpossible

    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    try:
        with opened as client:
            story = Demo(client, console, grant)
            bags = story.play()
            story.wait(bags)
            story.show(bags[0])
            console.print()
            differences = run_audit(client, [rpc], contract, bags)
    except Refused as refusal:
        raise SetupError(f"the node at {opened.address} refused: {refusal}") from refusal
    except AuditImpossible as fault:
        raise SetupError(f"audit: could not check: {fault}") from fault
    if differences:
        sys.exit(EXIT_DIFFERENCES)
