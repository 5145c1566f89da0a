"""``vtrace serve``."""

from __future__ import annotations

import json
import resource
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.cli.options import DATA_DIR, DB, MASTER_KEY, Gwei, Size, option
from node.cli.running import run, stop_at_signals
from node.cli.supervise import Serving, Supervisor
from node.config import BACKLOG_MAX, BUMP_AFTER_SECONDS, EMBEDDED, Config, KeySource
from node.telemetry.logs import FORMATS, speak

if TYPE_CHECKING:
    from node.app import Ready

OPEN_FILES = 8_192
FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    epilog="Example: vtrace serve --data-dir ./data --grpc 0.0.0.0:50051 --tls-cert node.pem --tls-key node.key"
)
@DATA_DIR
@option("--grpc", default="127.0.0.1:50051", show_default=True, help="HOST:PORT for gRPC; port 0: a free one.")
@option("--http", default="127.0.0.1:8080", show_default=True, help="HOST:PORT for HTTP; port 0: a free one.")
@option(
    "--chain",
    default=EMBEDDED,
    show_default=True,
    help="embedded, or the URL of an EVM network's JSON-RPC: http(s)://…, or ws(s)://… to be told of new blocks.",
)
@option(
    "--ipfs",
    default=EMBEDDED,
    show_default=True,
    help="Where files are kept: embedded (in the data directory), or the URL of an IPFS daemon's RPC (Kubo).",
)
@option("--upload-max", type=Size(), default="1GiB", show_default=True, help="Bytes of one file at most: 500MiB, 2GiB.")
@option("--public-url", help="The base of the addresses of files. Default: http(s):// and the address of --http.")
@option(
    "--public-rpc",
    help="URL of a JSON-RPC endpoint of the chain that the pages offer to readers who check them. "
    "Default: the embedded chain's own; for another chain none.",
)
@option(
    "--publish-forms",
    is_flag=True,
    help="Put the salt and form of every circ, earlier ones too, into the store of files under the CID that the chain "
    "knows. What was published is public and can't be taken back.",
)
@option(
    "--webhooks-local",
    is_flag=True,
    help="Let webhooks go to http and to private addresses too. For development: any boss can then have the node call "
    "what only the node can reach.",
)
@DB
@option(
    "--confirmations",
    type=int,
    help="Blocks that make a circ final. Default: 1 on the embedded chain, 12 elsewhere.",
)
@MASTER_KEY
@option(
    "--signer-key",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    help="File with the key (64 hex digits) of an account that pays; again for more lanes. "
    "Default: keys made at first start.",
)
@option(
    "--signers", type=int, help="Lanes that send side by side, each with its key. Default: as many as --signer-key."
)
@option(
    "--signer",
    help="URL of a Web3Signer (eth1 API) that keeps the lanes' keys instead; give the node one of its own.",
)
@option(
    "--bump-after",
    type=float,
    default=BUMP_AFTER_SECONDS,
    show_default=True,
    help="Seconds after which a transaction that no block takes is signed again with higher fees.",
)
@option("--max-fee", type=Gwei(), help="The most to offer for a unit of gas, in gwei. Default: no limit.")
@option(
    "--backlog-max",
    type=int,
    default=BACKLOG_MAX,
    show_default=True,
    help="Transactions that may wait for the chain until callers are told to try again later.",
)
@option(
    "--models",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of models, NAME/VERSION/ each, beside those that come with the node.",
)
@option(
    "--trusted-proxies",
    type=int,
    default=0,
    show_default=True,
    help="How many proxies stand in front of the node, one behind the other, each adding to X-Forwarded-For who called "
    "it: so callers are told apart by their own addresses. With 0 the header counts for nothing.",
)
@option(
    "--scan-place-header",
    help="Header in which the proxy in front of the node writes where a reader is, such as a country's code "
    "(CF-IPCountry), in place of whatever readers send. Scans are then counted by place too. Default: none.",
)
@option("--tls-cert", type=FILE, help="Certificate with its chain, PEM, for gRPC and HTTP; read again when it changes.")
@option("--tls-key", type=FILE, help="Its key, PEM; read again when it changes.")
@option(
    "--tls-client-ca",
    type=FILE,
    help="Certificates, PEM, of those who may certify clients. gRPC then takes clients with such a certificate only; "
    "one that names vtrace:user:USERNAME stands for that user.",
)
@option(
    "--insecure",
    is_flag=True,
    help="Listen without TLS on addresses that others can reach, for a proxy in front that has TLS.",
)
@option(
    "--rate-factor",
    type=float,
    default=1.0,
    show_default=True,
    help="Multiplies how often a user or an address may call; 0: no limits.",
)
@option(
    "--workers",
    type=int,
    default=1,
    show_default=True,
    help="Processes that answer side by side on the same addresses; one of them is elected to send and confirm.",
)
@option(
    "--metrics",
    help="HOST:PORT of its own for /metrics, in the clear, for the operator's network alone. Default: /metrics is on "
    "--http, for callers on this machine.",
)
@option(
    "--log-format",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="What stderr gets: lines for people, or a JSON object a line, for calls too.",
)
@option(
    "--traces",
    help="URL where an OpenTelemetry collector takes spans over HTTP, such as http://127.0.0.1:4318/v1/traces. "
    "Default: no traces.",
)
def serve(
    data_dir: Path,
    grpc: str,
    http: str,
    chain: str,
    ipfs: str,
    upload_max: int,
    public_url: str | None,
    public_rpc: str | None,
    publish_forms: bool,
    webhooks_local: bool,
    db: str,
    confirmations: int | None,
    master_key: KeySource | None,
    signer_key: tuple[Path, ...],
    signers: int | None,
    signer: str | None,
    bump_after: float,
    max_fee: int | None,
    backlog_max: int,
    models: Path | None,
    trusted_proxies: int,
    scan_place_header: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    insecure: bool,
    rate_factor: float,
    workers: int,
    metrics: str | None,
    log_format: str,
    traces: str | None,
) -> None:
    """Run a node until SIGTERM or SIGINT.

    When it is ready, it prints one line of JSON to stdout; logs go to stderr.
    """
    config = Config(
        data_dir=data_dir,
        db=db,
        grpc=grpc,
        http=http,
        chain=chain,
        confirmations=confirmations,
        master_key=master_key,
        signer_keys=signer_key,
        signers=signers,
        signer=signer,
        bump_after=bump_after,
        fee_max_wei=max_fee,
        backlog_max=backlog_max,
        models=models,
        ipfs=ipfs,
        upload_bytes_max=upload_max,
        public_url=public_url,
        public_rpc=public_rpc,
        publish_forms=publish_forms,
        trusted_proxies=trusted_proxies,
        scan_place_header=scan_place_header,
        webhooks_local=webhooks_local,
        tls_cert=tls_cert,
        tls_key=tls_key,
        tls_client_ca=tls_client_ca,
        insecure=insecure,
        rate_factor=rate_factor,
        workers=workers,
        metrics=metrics,
        log_format=log_format,
        traces=traces,
    )
    speak(log_format)
    _allow_open_files()
    stopping = stop_at_signals()
    if config.workers > 1:
        Supervisor(config, stopping, _print_ready).run()
    else:
        run(config, stopping, _print_ready)


def _print_ready(ready: Ready | Serving) -> None:
    line = {
        "event": "ready",
        "grpc": ready.grpc,
        "http": ready.http,
        "chain_id": ready.chain_id,
        "contract": ready.contract,
    }
    click.echo(json.dumps(line))


def _allow_open_files() -> None:
    """Both servers take more connections than shells let a process have files, by habit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
