"""``vtrace audit``."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import EXIT_COULD_NOT_CHECK, EXIT_DIFFERENCES, RPC, option
from node.cli.tls import client_of, https_context, node_option
from node.config import is_base_url
from node.errors import SetupError

if TYPE_CHECKING:
    from node.api.client import AuditedNode, NodeClient
    from node.files.gateway import Gateway
    from node.flow.audit import Auditor, ChainView, Predictions, Report

TOKEN_BYTES_MAX = 8 * 1024


@click.command(
    epilog="Example: vtrace audit --node 127.0.0.1:50051 --rpc http://127.0.0.1:8080/rpc --contract 0x… --all"
)
@node_option(required=True)
@option("--rpc", "rpcs", required=True, multiple=True, help=f"{RPC} May be given again: then all must agree.")
@option("--contract", required=True, help="Address of the contract, as its owner made it known.")
@option(
    "--code-hash",
    help="Hash of its code (EXTCODEHASH), as its owner made it known. Default: this version's code is wanted.",
)
@option("--goods", "goods_ids", type=int, multiple=True, help="Goods to audit; may be given again.")
@option("--all", "everything", is_flag=True, help="Replay the contract's whole ledger, and audit every goods in it.")
@option(
    "--checkpoint",
    type=click.Path(dir_okay=False, path_type=Path),
    help="With --all: a file that the replay is kept in, and goes on from. It is trusted like the endpoint: guard it.",
)
@option(
    "--token-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file with an access token: the second caller, to whom the node must show the same, is its user.",
)
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
@option("--json", "as_json", is_flag=True, help="Print the report as one JSON document (docs/audit.md has its fields).")
def audit(
    node_address: str,
    rpcs: tuple[str, ...],
    contract: str,
    code_hash: str | None,
    goods_ids: tuple[int, ...],
    everything: bool,
    checkpoint: Path | None,
    token_file: Path | None,
    files_url: str | None,
    predictions: bool,
    models: Path | None,
    chain_id: int | None,
    late_blocks: int,
    as_json: bool,
) -> None:
    """Hold a node's answers against the chain, trusting the chain alone.

    Prints what was audited, a line for each difference, what could not be checked, and a summary.
    Exit code 0: no differences; 1: differences; 2: no differences, but not everything could be checked.
    """
    if everything == bool(goods_ids):
        raise click.UsageError("name the goods (--goods ID, again for more), or --all")
    if checkpoint is not None and not everything:
        raise click.UsageError("--checkpoint: it keeps the replay of the whole ledger, so it needs --all")
    from node.api.client import AuditedNode
    from node.flow.audit import AuditImpossible

    try:
        token = None if token_file is None else _token(token_file)
        with client_of(node_address) as client, client_of(node_address) as other:
            code = run_audit(
                client,
                rpcs,
                contract,
                None if everything else list(goods_ids),
                files_url,
                None if not predictions else [models] if models else [],
                as_json=as_json,
                second=AuditedNode(other, token),
                code_hash=code_hash,
                chain_id=chain_id,
                late_blocks=late_blocks,
                checkpoint=checkpoint,
            )
    except (AuditImpossible, SetupError) as fault:
        code = _could_not_check(str(fault), as_json=as_json)
    except (Exception, KeyboardInterrupt) as fault:  # exit code 1 must mean differences, whatever happens
        logging.getLogger(__name__).debug("what happened", exc_info=True)
        code = _could_not_check(f"{type(fault).__name__}: {fault}", as_json=as_json)
    sys.exit(code)


def run_audit(
    client: NodeClient,
    rpcs: Sequence[str],
    contract: str,
    goods_ids: list[int] | None,
    files_url: str | None = None,
    model_folders: list[Path] | None = None,
    *,
    as_json: bool = False,
    second: AuditedNode | None = None,
    **settings: Any,
) -> int:
    """Audit goods, or all of them, with a progress bar; prints the report. Answers the exit code: 0, 1 or 2.

    Predictions are run again if there are ``model_folders``, even none of one's own. ``settings`` are the auditor's.
    """
    from rich.console import Console
    from rich.progress import Progress

    from node.api.client import AuditedNode
    from node.files.gateway import Gateway
    from node.flow.audit import Auditor

    if files_url is None:
        files_url = next((rpc.removesuffix("/rpc") for rpc in rpcs if rpc.endswith("/rpc")), None)
    if files_url is not None and not is_base_url(files_url):
        raise SetupError(f"--files {files_url}: want an http(s) URL such as http://127.0.0.1:8080")
    gateway = None if files_url is None else Gateway(files_url, https_context())
    stderr = Console(stderr=True)
    with ExitStack() as opened:
        if gateway is not None:
            opened.callback(gateway.close)
        chain, names = _chain(rpcs, opened)
        if model_folders is not None:
            if gateway is None:
                raise SetupError("--predictions needs the stored inputs: name where files are (--files URL)")
            settings["predictions"] = _predictions(gateway, model_folders, opened)
        bar = opened.enter_context(Progress(console=stderr, transient=True, disable=not stderr.is_terminal))
        blocks = None if goods_ids is not None else bar.add_task("replaying blocks", total=None)
        task = bar.add_task("auditing goods", total=None)
        auditor = Auditor(
            AuditedNode(client), chain, contract, second=second, endpoints=names, files=gateway, **settings
        )

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        def tell_blocks(done: int, total: int) -> None:
            if blocks is not None:
                bar.update(blocks, completed=done, total=total)

        report = auditor.audit_all(tell, tell_blocks) if goods_ids is None else auditor.audit(goods_ids, tell)
    code = EXIT_DIFFERENCES if report.differences else EXIT_COULD_NOT_CHECK if report.unchecked else 0
    if as_json:
        click.echo(json.dumps(_json(report, auditor, code, fetched=gateway is not None), indent=2))
    else:
        _print(report, auditor, fetched=gateway is not None)
    return code


def _print(report: Report, auditor: Auditor, *, fetched: bool) -> None:
    for line in report.lines:
        click.echo(line)
    named = auditor.files.named
    if named and not fetched:
        click.echo(f"audit: {named} files are named, none was checked: give --files URL", err=True)
    elif named:
        click.echo(f"audit: {named} files fetched")
    if auditor.predictions is not None:
        click.echo(f"audit: {auditor.predictions.held} predictions run again")


def _json(report: Report, auditor: Auditor, code: int, *, fetched: bool) -> dict[str, Any]:
    document = report.to_json()
    document["checked"] |= {
        "files": auditor.files.named if fetched else None,
        "predictions": None if auditor.predictions is None else auditor.predictions.held,
        "callers": auditor.callers.count,
    }
    return document | {"exit_code": code}


def _could_not_check(why: str, *, as_json: bool) -> int:
    """Say that nothing could be checked; the exit code."""
    from node.flow.audit import one_line, unchecked_json

    if as_json:
        click.echo(json.dumps(unchecked_json(why) | {"exit_code": EXIT_COULD_NOT_CHECK}, indent=2))
    click.echo(one_line(f"audit: could not check: {why}"), err=True)
    return EXIT_COULD_NOT_CHECK


def _chain(rpcs: Sequence[str], opened: ExitStack) -> tuple[ChainView, list[str]]:
    """The chain by its endpoints, and what they are called: URLs without path and password, numbered if several."""
    from node.chain.rpc import Chain, HttpRpc
    from node.chain.transport import endpoint_name
    from node.flow.audit import AgreedChain

    endpoints = []
    for number, rpc in enumerate(rpcs, 1):
        if rpc in rpcs[: number - 1]:
            raise SetupError(f"--rpc {rpc}: is given twice, which makes no second witness")
        try:
            endpoint = HttpRpc(rpc, tls=https_context())
        except ValueError as fault:
            raise SetupError(f"--rpc {rpc}: {fault}") from fault
        opened.callback(endpoint.close)
        name = endpoint_name(rpc) if len(rpcs) == 1 else f"endpoint {number} ({endpoint_name(rpc)})"
        endpoints.append((name, Chain(endpoint)))
    names = [name for name, _ in endpoints]
    return (endpoints[0][1] if len(endpoints) == 1 else AgreedChain(endpoints)), names


def _token(path: Path) -> str:
    """The access token in a file."""
    try:
        with path.open("rb") as file:
            raw = file.read(TOKEN_BYTES_MAX + 1)
    except OSError as fault:
        raise SetupError(f"--token-file {path}: {fault.strerror}") from fault
    text = raw.decode("ascii", "replace").strip()
    if not text or len(raw) > TOKEN_BYTES_MAX or not text.isprintable() or not text.isascii() or " " in text:
        raise SetupError(f"--token-file {path}: want one token of at most {TOKEN_BYTES_MAX} bytes, nothing else")
    return text


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
