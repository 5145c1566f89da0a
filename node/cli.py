"""The command ``vtrace``."""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node import __version__
from node.config import EMBEDDED, SQLITE, Config, host_and_port, is_base_url
from node.errors import SetupError, VTraceError

if TYPE_CHECKING:
    from node.api.client import NodeClient
    from node.files.gateway import Gateway
    from node.flow.audit import Predictions

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
PLAIN_WIDTH = 100
WAKE_SECONDS = 1.0
EXIT_DIFFERENCES = 1
EXIT_COULD_NOT_CHECK = 2


def option(flag: str, *names: str, **settings: Any) -> Callable[[Any], Any]:
    """An option that can also be set in the environment: --data-dir is VTRACE_DATA_DIR, whatever the command."""
    variable = f"VTRACE_{flag.removeprefix('--').replace('-', '_').upper()}"
    return click.option(flag, *names, envvar=variable, show_envvar=True, **settings)


class Size(click.ParamType[int]):
    """A number of bytes, with KiB, MiB or GiB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """``512MiB`` as 536870912."""
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"([0-9]{1,15})(?:([KMG])iB)?", value.strip(), re.ASCII)
        if not found:
            self.fail(f"{value}: want a number of bytes such as 1048576, 512MiB or 1GiB", param, ctx)
        scale: int = 1024 ** " KMG".index(found[2] or " ")
        return int(found[1]) * scale


DATA_DIR = option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("vtrace-data"),
    show_default=True,
    help="Where the node keeps everything; made at first start.",
)
MASTER_KEY = option(
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


@click.group(cls=Failing, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="vtrace")
def main() -> None:
    """VTrace: records what happens to goods, anchored on a blockchain, checked by anyone.

    Every option can also be set in the environment: --data-dir is VTRACE_DATA_DIR, and so on.
    """
    # Whatever the command writes is for its user alone: phones, names and keys stand in it.
    os.umask(0o077)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=LOG_FORMAT)


@main.command(epilog="Example: vtrace serve --data-dir ./data --grpc 0.0.0.0:50051 --chain http://127.0.0.1:8545")
@DATA_DIR
@option("--grpc", default="127.0.0.1:50051", show_default=True, help="HOST:PORT for gRPC; port 0: a free one.")
@option("--http", default="127.0.0.1:8080", show_default=True, help="HOST:PORT for HTTP; port 0: a free one.")
@option(
    "--chain",
    default=EMBEDDED,
    show_default=True,
    help="embedded, or the URL of an EVM network's JSON-RPC.",
)
@option(
    "--ipfs",
    default=EMBEDDED,
    show_default=True,
    help="Where files are kept: embedded (in the data directory), or the URL of an IPFS daemon's RPC (Kubo).",
)
@option("--upload-max", type=Size(), default="1GiB", show_default=True, help="Bytes of one file at most: 500MiB, 2GiB.")
@option("--public-url", help="The base of the addresses of files. Default: http:// and the address of --http.")
@option("--db", type=click.Choice([SQLITE]), default=SQLITE, show_default=True, help="What holds the index.")
@option(
    "--confirmations",
    type=int,
    help="Blocks that make a circ final. Default: 1 on the embedded chain, 12 elsewhere.",
)
@MASTER_KEY
@option(
    "--signer-key",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File with the key (64 hex digits) of the account that pays. Default: one made at first start.",
)
@option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of models, NAME/VERSION/ each, beside those that come with the node.",
)
def serve(
    data_dir: Path,
    grpc: str,
    http: str,
    chain: str,
    ipfs: str,
    upload_max: int,
    public_url: str | None,
    db: str,
    confirmations: int | None,
    master_key: Path | None,
    signer_key: Path | None,
    models: Path | None,
) -> None:
    """Run a node until SIGTERM or SIGINT.

    When it is ready, it prints one line of JSON to stdout; logs go to stderr.
    """
    del db  # it has one choice in this version
    from node.app import Node, Stopped

    config = Config(
        data_dir=data_dir,
        grpc=grpc,
        http=http,
        chain=chain,
        confirmations=confirmations,
        master_key=master_key,
        signer_key=signer_key,
        models=models,
        ipfs=ipfs,
        upload_bytes_max=upload_max,
        public_url=public_url,
    )
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        node = Node(config, on_fatal=stopping.set, stopping=stopping)
    except Stopped:
        return
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
        # A signal between Python's last look and the wait itself would not end a wait without an end.
        while not stopping.wait(WAKE_SECONDS):
            pass
    finally:
        node.stop()
    if node.fault is not None:
        raise SetupError(f"the node stopped: {node.fault}")


NODE = "HOST:PORT of the node's gRPC."
RPC = "URL of a JSON-RPC endpoint of the chain; the embedded chain's is http://HOST:PORT/rpc of the node's HTTP."


@main.command(
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
            code = _audit(client, rpc, contract, named, files_url, folders, chain_id=chain_id, late_blocks=late_blocks)
    except (AuditImpossible, SetupError) as fault:
        click.echo(one_line(f"audit: could not check: {fault}"), err=True)
        code = EXIT_COULD_NOT_CHECK
    except (Exception, KeyboardInterrupt) as fault:  # exit code 1 must mean differences, whatever happens
        click.echo(one_line(f"audit: could not check: {type(fault).__name__}: {fault}"), err=True)
        logging.getLogger(__name__).debug("what happened", exc_info=True)
        code = EXIT_COULD_NOT_CHECK
    sys.exit(code)


def _audit(
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


@main.command(
    "demo", epilog="Example: vtrace demo, or beside a running node: vtrace demo --node … --rpc … --contract …"
)
@option("--node", "node_address", help=f"{NODE} Default: a fresh node of its own, gone afterwards.")
@option("--rpc", help=RPC)
@option("--contract", help="Address of the running node's contract, as its ready line says.")
@option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="The running node's data directory (to make an examiner), or where the fresh node is to stay.",
)
def play_demo(node_address: str | None, rpc: str | None, contract: str | None, data_dir: Path | None) -> None:
    """Play a coffee supply chain through a node: from a harvest to a roast, then its history and its audit."""
    logging.getLogger().setLevel(logging.WARNING)
    if node_address is not None:
        if rpc is None or contract is None or data_dir is None:
            raise click.UsageError("with --node, name --rpc, --contract and --data-dir of that node too")
        _check_used(data_dir)
        _play(node_address, rpc, contract, _people(data_dir, None).grant)
        return
    from tempfile import TemporaryDirectory

    from node.app import Node

    with TemporaryDirectory(prefix="vtrace-demo-") as temporary:
        home = data_dir or Path(temporary)
        node = Node(Config(home, "127.0.0.1:0", "127.0.0.1:0"), on_fatal=lambda: None)
        try:
            ready = node.start()
            _play(ready.grpc, f"http://{ready.http}/rpc", ready.contract, node.people.grant)
        finally:
            node.stop()


def _play(node_address: str, rpc: str, contract: str, grant: Callable[[str, str], object]) -> None:
    from rich.console import Console

    from node.api.client import NodeClient, Refused
    from node.api.demo import Demo
    from node.flow.audit import AuditImpossible

    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    try:
        with NodeClient(node_address) as client:
            story = Demo(client, console, grant)
            bags = story.play()
            story.wait(bags)
            story.show(bags[0])
            console.print()
            differences = _audit(client, rpc, contract, bags)
    except Refused as refusal:
        raise SetupError(f"the node at {node_address} refused: {refusal}") from refusal
    except AuditImpossible as fault:
        raise SetupError(f"audit: could not check: {fault}") from fault
    if differences:
        sys.exit(EXIT_DIFFERENCES)


@main.group()
def files() -> None:
    """Look after the files of a data directory, on the node's own machine."""


@files.command("verify", epilog="Example: vtrace files verify --data-dir ./data")
@DATA_DIR
@option("--ipfs", default=EMBEDDED, show_default=True, help="Where the files are kept, as for vtrace serve.")
def files_verify(data_dir: Path, ipfs: str) -> None:
    """Read every file and hold it against its CID, beside a running node or without one.

    Prints each damaged file. Exit code 0: none, 1: some, 2: could not check.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    from node.app import files_of
    from node.flow.files import Unreadable

    kept = files_of(Config(data_dir=data_dir, ipfs=ipfs))
    stderr = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    shown = Progress(*columns, TimeRemainingColumn(), console=stderr, transient=True, disable=not stderr.is_terminal)
    with shown as bar:
        task = bar.add_task("verifying files", total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        damaged = 0
        try:
            for damage in kept.verify(tell):
                click.echo(str(damage))
                damaged += 1
        except Unreadable as fault:
            click.echo(f"files: could not check: {fault}", err=True)
            sys.exit(EXIT_COULD_NOT_CHECK)
    total, size = kept.totals()
    click.echo(f"files: {total} files, {size} bytes, {damaged} damaged")
    sys.exit(EXIT_DIFFERENCES if damaged else 0)


@main.group()
def admin() -> None:
    """Manage a data directory's users and materials, on the node's own machine."""


@admin.command("create", epilog="Example: vtrace admin create --phone 13800138000 --nickname Ops --data-dir ./data")
@DATA_DIR
@MASTER_KEY
@option("--phone", required=True, help="The login: a mobile number of 11 digits.")
@option("--nickname", default="admin", show_default=True, help="The name that others see.")
@option("--password", prompt=True, hide_input=True, confirmation_prompt=True, help="Asked for when not given.")
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
    _check_used(data_dir)
    user = _people(data_dir, master_key).grant(username, role)
    click.echo(f"{user.username} is {user.role.value}")


@admin.group("material")
def admin_material() -> None:
    """Manage the materials that classes of goods can name."""


@admin_material.command(
    "add", epilog='Example: vtrace admin material add "Pu-erh tea" --alias 普洱茶 --data-dir ./data'
)
@DATA_DIR
@MASTER_KEY
@click.argument("name")
@option("--alias", default="", help="Another name under which it is known.")
@option("--des", default="", help="Description for people.")
def admin_material_add(data_dir: Path, master_key: Path | None, name: str, alias: str, des: str) -> None:
    """Add the material NAME; prints its id. A running node knows it at once."""
    _check_used(data_dir)
    from node.app import open_store
    from node.clock import now_micros
    from node.flow.recognise import add_material

    store, _ = open_store(Config(data_dir=data_dir, master_key=master_key))
    click.echo(add_material(store, name, alias, des, now_micros))


def _check_used(data_dir: Path) -> None:
    if not Config(data_dir=data_dir).index_path.exists():
        raise SetupError(f"--data-dir {data_dir}: no node keeps its data there; name the directory of the node")


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
