"""``vtrace audit``."""

from __future__ import annotations

import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import EXIT_COULD_NOT_CHECK, EXIT_DIFFERENCES, NODE, RPC, option
from node.config import host_and_port, is_base_url
from node.errors import SetupError

if TYPE_CHECKING:
    from node.api.client import NodeClient
    from node.files.gateway import Gateway
    from node.flow.audit import Predictions


@click.command(
    epilog="Example: vtrace audit --node 127.0.0.1:50051 --rpc http://127.0.0.1:8080/rpc --contract 0x… --all"
)
@option("--node", "node_address", required=True, help=NODE)
@option("--rpc", required=True, help=RPC)
@option("--contract", required=True, help="Address of the contract, as its owner made it known.")
@option("--goods", "goods_ids", type=int, multiple=True, help="Goods to audit; may be given again.")
@option("--all", "everything", is_flag=True, help="Audit every goods that the contract knows.")
@option("--files", "files_url", help="Base of the addresses of files. Default: that of --rpc, if it ends in /rpc.")
@option("--predictions", is_flag=True, help="Run the models of predictions in exam circs again, on the stored input.")
@option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --predictions: a folder of models beside those that come with VTrace.",
)
@option("--chain-id", type=click.IntRange(min=1), help="Refuse an endpoint that serves another chain than this.")
@option(
    "--late-blocks",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Blocks after which a mined circ must not be pending; more than the node's confirmations.",
)
def audit(
    node_address: str,
    rpc: str,
    contract: str,
    goods_ids: tuple[int, ...],
    everything: bool,
    files_url: str | None,
    predictions: bool,
    models: Path | None,
    chain_id: int | None,
    late_blocks: int,
) -> None:
    """Hold a node's answers against the chain, trusting the chain alone.

    Prints what was audited, a line for each difference, what could not be checked, and a summary.
    Exit code 0: no differences; 1: differences; 2: no differences, but not everything could be checked.
    """
    if everything == bool(goods_ids):
        raise click.UsageError("name the goods (--goods ID, again for more), or --all")
    from node.api.client import NodeClient
    from node.flow.audit import AuditImpossible, one_line

    try:
        host_and_port("--node", node_address)
        with NodeClient(node_address) as client:
            named = None if everything else list(goods_ids)
            folders = None if not predictions else [models] if models else []
            code = run_audit(
                client, rpc, contract, named, files_url, folders, chain_id=chain_id, late_blocks=late_blocks
            )
    except (AuditImpossible, SetupError) as fault:
        click.echo(one_line(f"audit: could not check: {fault}"), err=True)
        code = EXIT_COULD_NOT_CHECK
    except (Exception, KeyboardInterrupt) as fault:  # exit code 1 must mean differences, whatever happens
        click.echo(one_line(f"audit: could not check: {type(fault).__name__}: {fault}"), err=True)
        logging.getLogger(__name__).debug("what happened", exc_info=True)
        code = EXIT_COULD_NOT_CHECK
    sys.exit(code)


def run_audit(
    client: NodeClient,
    rpc: str,
    contract: str,
    goods_ids: list[int] | None,
    files_url: str | None = None,
    model_folders: list[Path] | None = None,
    **settings: Any,
) -> int:
    """Audit goods, or all of them, with a progress bar; prints the report. Answers the exit code: 0, 1 or 2.

    Predictions are run again if there are ``model_folders``, even none of one's own. ``settings`` are the auditor's.
    """
    from rich.console import Console
    from rich.progress import Progress

    from node.api.client import AuditedNode
    from node.chain.rpc import Chain, HttpRpc
    from node.files.gateway import Gateway
    from node.flow.audit import Auditor

    if files_url is None and rpc.endswith("/rpc"):
        files_url = rpc.removesuffix("/rpc")
    if files_url is not None and not is_base_url(files_url):
        raise SetupError(f"--files {files_url}: want an http(s) URL such as http://127.0.0.1:8080")
    gateway = None if files_url is None else Gateway(files_url)
    try:
        endpoint = HttpRpc(rpc)
    except ValueError as fault:
        raise SetupError(f"--rpc {rpc}: {fault}") from fault
    stderr = Console(stderr=True)
    with ExitStack() as opened:
        opened.callback(endpoint.close)
        if gateway is not None:
            opened.callback(gateway.close)
        if model_folders is not None:
            if gateway is None:
                raise SetupError("--predictions needs the stored inputs: name where files are (--files URL)")
            settings["predictions"] = _predictions(gateway, model_folders, opened)
        bar = opened.enter_context(Progress(console=stderr, transient=True, disable=not stderr.is_terminal))
        task = bar.add_task("auditing goods", total=None)
        auditor = Auditor(AuditedNode(client), Chain(endpoint), contract, files=gateway, **settings)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        report = auditor.audit_all(tell) if goods_ids is None else auditor.audit(goods_ids, tell)
    for line in report.lines:
        click.echo(line)
    if auditor.files.named and gateway is None:
        click.echo(f"audit: {auditor.files.named} files are named, none was checked: give --files URL", err=True)
    elif auditor.files.named:
        click.echo(f"audit: {auditor.files.named} files fetched")
    if "predictions" in settings:
        click.echo(f"audit: {settings['predictions'].held} predictions run again")
    if report.differences:
        return EXIT_DIFFERENCES
    return EXIT_COULD_NOT_CHECK if report.unchecked else 0


def _predictions(gateway: Gateway, folders: list[Path], opened: ExitStack) -> Predictions:
    """The auditor's own models, on inputs that are held against their CIDs."""
    from node.flow.audit import Predictions
    from node.flow.audit.files import content
    from node.models.catalogue import SHIPPED, Catalogue
    from node.models.parse import DATA_BYTES_MAX

    catalogue = Catalogue([SHIPPED, *folders])
    opened.callback(catalogue.close)
    catalogue.load()
    return Predictions(catalogue.recognise, lambda cid: content(gateway, cid, DATA_BYTES_MAX))
