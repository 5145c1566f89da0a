"""How a node is set up: one frozen value, checked before anything is opened."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from node.errors import SetupError

EMBEDDED = "embedded"
SQLITE = "sqlite"
POSTGRESQL = ("postgresql://", "postgres://")
CONFIRMATIONS_EMBEDDED = 1
CONFIRMATIONS_OTHER = 12
CONFIRMATIONS_MAX = 10_000
PORT_MAX = 65_535
SIGNERS_MAX = 64
WORKERS_MAX = 64
BUMP_AFTER_SECONDS = 90.0
BACKLOG_MAX = 100_000
UPLOAD_BYTES_MAX = 1024**3
TRUSTED_PROXIES_MAX = 16
UNFINISHED_RESTORE = "restore.part"
"""A folder of a data directory that is only half restored."""
RATE_FACTOR_MAX = 1_000.0
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}", re.ASCII)


@dataclass(frozen=True, slots=True)
class GivenKey:
    """A master key of the environment, as it was written there."""

    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyCommand:
    """A command that prints the master key."""

    words: tuple[str, ...]


KeySource = Path | GivenKey | KeyCommand
"""Where the master key comes from: the path of its file, itself, or a command."""


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of ``vtrace serve``. ``grpc`` and ``http`` are HOST:PORT; port 0 takes a free one."""

    data_dir: Path
    db: str = field(default=SQLITE, repr=False, kw_only=True)
    grpc: str = "127.0.0.1:50051"
    http: str = "127.0.0.1:8080"
    chain: str = EMBEDDED
    confirmations: int | None = None
    master_key: KeySource | None = None
    signer_keys: tuple[Path, ...] = ()
    signers: int | None = None
    signer: str | None = None
    bump_after: float = BUMP_AFTER_SECONDS
    fee_max_wei: int | None = None
    backlog_max: int = BACKLOG_MAX
    ipfs: str = EMBEDDED
    upload_bytes_max: int = UPLOAD_BYTES_MAX
    public_url: str | None = None
    public_rpc: str | None = None
    models: Path | None = None
    publish_forms: bool = False
    trusted_proxies: int = 0
    scan_place_header: str | None = None
    webhooks_local: bool = False
    workers: int = 1
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_client_ca: Path | None = None
    insecure: bool = False
    rate_factor: float = 1.0
    metrics: str | None = None
    log_format: str = "text"
    traces: str | None = None

    @property
    def master_key_source(self) -> KeySource:
        """Where the master key comes from, without a word of it ``master.key`` in the data directory."""
        return self.master_key or self.data_dir / "master.key"

    @property
    def index_path(self) -> Path:
        """The index's file; of an index elsewhere the copy that a reindex works on."""
        return self.data_dir / ("index.sqlite3" if self.db == SQLITE else "index.copy.sqlite3")

    @property
    def index(self) -> Path | str:
        """Where the index is: its file, or the URL of a PostgreSQL database."""
        return self.index_path if self.db == SQLITE else self.db

    @property
    def chain_path(self) -> Path:
        """The embedded chain's file."""
        return self.data_dir / "chain.sqlite3"

    @property
    def files_path(self) -> Path:
        """The folder of files, and of those on their way in."""
        return self.data_dir / "files"

    @property
    def lanes(self) -> int:
        """How many signers take new transactions."""
        return self.signers if self.signers is not None else max(1, len(self.signer_keys))

    @property
    def depth(self) -> int:
        """How many blocks make a transaction final, its own counted."""
        if self.confirmations is not None:
            return self.confirmations
        return CONFIRMATIONS_EMBEDDED if self.chain == EMBEDDED else CONFIRMATIONS_OTHER


def host_and_port(option: str, value: str) -> tuple[str, int]:
    """``HOST:PORT`` as its parts; an IPv6 host stands in brackets."""
    host, colon, port = value.rpartition(":")
    is_number = port.isascii() and port.isdigit() and len(port) <= 5
    if not (colon and host and is_number and int(port) <= PORT_MAX):
        raise SetupError(f"{option} {value}: want HOST:PORT such as 127.0.0.1:50051")
    return host.removeprefix("[").removesuffix("]"), int(port)


def check(config: Config) -> None:
    """Refuse settings that can't work, each with what is wanted instead."""
    host_and_port("--grpc", config.grpc)
    host_and_port("--http", config.http)
    if config.metrics is not None:
        host_and_port("--metrics", config.metrics)
    if config.traces is not None and not _is_open_url(config.traces):
        raise SetupError(
            f"--traces {config.traces}: want the http(s) URL where an OpenTelemetry collector takes spans, such as "
            "http://127.0.0.1:4318/v1/traces, without a password in it"
        )
    check_db(config.db)
    if config.chain != EMBEDDED and not (_is_http_url(config.chain) or _is_websocket_url(config.chain)):
        raise SetupError(f"--chain {config.chain}: want {EMBEDDED}, or the http(s) or ws(s) URL of a JSON-RPC endpoint")
    if config.confirmations is not None and not 1 <= config.confirmations <= CONFIRMATIONS_MAX:
        raise SetupError(f"--confirmations {config.confirmations}: want 1 to {CONFIRMATIONS_MAX}")
    if config.chain == EMBEDDED and config.depth != CONFIRMATIONS_EMBEDDED:
        raise SetupError(
            f"--confirmations {config.confirmations}: the embedded chain mines when there is something to mine, "
            "so nothing would ever stand on the last blocks; want 1"
        )
    if not max(1, len(config.signer_keys)) <= config.lanes <= SIGNERS_MAX:
        raise SetupError(f"--signers {config.lanes}: want 1 to {SIGNERS_MAX}, and no fewer than there are --signer-key")
    if config.chain == EMBEDDED and config.lanes != 1:
        raise SetupError(f"--signers {config.lanes}: the embedded chain mines one after the other anyway; want 1")
    if not 1 <= config.workers <= WORKERS_MAX:
        raise SetupError(f"--workers {config.workers}: want 1 to {WORKERS_MAX}")
    if config.chain == EMBEDDED and config.workers != 1:
        raise SetupError(
            f"--workers {config.workers}: the embedded chain lives inside one process; want 1, or name a network "
            "(--chain http://…)"
        )
    if config.signer is not None and not is_base_url(config.signer):
        raise SetupError(
            f"--signer {config.signer}: want the http(s) URL of a Web3Signer such as http://127.0.0.1:9000"
        )
    if config.signer is not None and config.signer_keys:
        raise SetupError("--signer and --signer-key: want one of them, since the signing service has the lanes' keys")
    if config.bump_after < 1:
        raise SetupError(f"--bump-after {config.bump_after:g}: want 1 second or more")
    if config.fee_max_wei is not None and config.fee_max_wei < 1:
        raise SetupError("--max-fee: want more than 0; on a network without fees leave it out")
    if config.backlog_max < 1:
        raise SetupError(f"--backlog-max {config.backlog_max}: want 1 or more")
    if config.ipfs != EMBEDDED and not _is_daemon_url(config.ipfs):
        raise SetupError(f"--ipfs {config.ipfs}: want {EMBEDDED}, or http(s)://HOST:PORT of an IPFS daemon's RPC")
    if config.upload_bytes_max < 1:
        raise SetupError(f"--upload-max {config.upload_bytes_max}: want 1 byte or more")
    if not 0 <= config.trusted_proxies <= TRUSTED_PROXIES_MAX:
        raise SetupError(f"--trusted-proxies {config.trusted_proxies}: want 0 to {TRUSTED_PROXIES_MAX}")
    header = config.scan_place_header
    if header is not None and not _HEADER.fullmatch(header):
        raise SetupError(f"--scan-place-header {header}: want the name of a header such as CF-IPCountry")
    if not 0 <= config.rate_factor <= RATE_FACTOR_MAX:
        raise SetupError(f"--rate-factor {config.rate_factor:g}: want 0 (no limits) to {RATE_FACTOR_MAX:g}")
    _check_transport(config)
    if config.public_url is not None and not is_base_url(config.public_url):
        raise SetupError(f"--public-url {config.public_url}: want an http(s) URL such as https://trace.example.com")

    if config.public_rpc is not None and not _is_open_url(config.public_rpc):
        raise SetupError(
            f"--public-rpc {config.public_rpc}: want the http(s) URL of a JSON-RPC endpoint that readers may ask, "
            "without a password in it"
        )


def _check_transport(config: Config) -> None:
    if (config.tls_cert is None) != (config.tls_key is None):
        raise SetupError("--tls-cert and --tls-key: want both or none")
    if config.tls_client_ca is not None and config.tls_cert is None:
        raise SetupError("--tls-client-ca: want --tls-cert and --tls-key too, since without TLS nobody shows one")
    if config.tls_cert is not None or config.insecure:
        return
    for option, address in (("--grpc", config.grpc), ("--http", config.http)):
        if not _is_loopback(host_and_port(option, address)[0]):
            raise SetupError(
                f"{option} {address}: others could read and change what is said there; want --tls-cert and --tls-key, "
                "or an address of this machine alone such as 127.0.0.1, or --insecure where a proxy in front has TLS"
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_db(db: str) -> None:
    """Refuse a --db that names no database; what the URL says beside that is libpq's."""
    if db != SQLITE and not (db.startswith(POSTGRESQL) and db.isprintable() and " " not in db):
        shown = db if "@" not in db and "=" not in db else "(a text with an address)"  # there may be a password in it
        raise SetupError(f"--db {shown}: want {SQLITE}, or a URL such as postgresql://user@host/database")


def _is_open_url(text: str) -> bool:
    """Whether it may be shown to anybody: plain text, and nothing secret."""
    if not _is_http_url(text) or not text.isprintable() or any(character in text for character in " #"):
        return False
    parts = urlsplit(text)
    return parts.username is None and parts.password is None


def _is_daemon_url(text: str) -> bool:
    if not _is_http_url(text):
        return False
    parts = urlsplit(text)
    return parts.username is None and parts.path in ("", "/") and not parts.query and not parts.fragment


def is_base_url(text: str) -> bool:
    """Whether paths can be put behind a text to make addresses."""
    return _is_http_url(text) and text.isprintable() and not any(character in text for character in " ?#")


def _is_http_url(text: str) -> bool:
    return _is_url(text, "http", "https")


def _is_websocket_url(text: str) -> bool:
    if not _is_url(text, "ws", "wss"):
        return False
    parts = urlsplit(text)
    return not parts.fragment and (parts.username is None) == (parts.password is None)


def _is_url(text: str, *schemes: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
