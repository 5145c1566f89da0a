"""TLS of commands that call a node: whom they trust, and as whom they call."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from node.cli.options import option
from node.config import host_and_port
from node.errors import SetupError

if TYPE_CHECKING:
    from node.api.client import NodeClient

_GIVEN = "vtrace.tls"
_NO_FILES: tuple[Path | None, Path | None] = (None, None)


def node_option(help_more: str = "", **settings: Any) -> Callable[[Any], Any]:
    """``--node``, and what ``client_of`` needs beside it."""

    def add(command: Any) -> Any:
        with_tls = tls_options(" Without it, --node is called in the clear.")(command)
        return option("--node", "node_address", help=f"HOST:PORT of the node's gRPC.{help_more}", **settings)(with_tls)

    return add


def tls_options(help_more: str = "") -> Callable[[Any], Any]:
    """``--tls-ca`` and ``--tls-identity``, which ``client_of`` and ``https_context`` read."""
    path = click.Path(dir_okay=False, path_type=Path)
    options = (
        option(
            "--tls-ca",
            type=path,
            help="Speak TLS with the node, and trust the authorities in this file (PEM); at https:// addresses, the "
            f"system's too.{help_more}",
        ),
        option(
            "--tls-identity",
            type=path,
            help="File with a client certificate and its key (PEM), for a node that asks for one.",
        ),
    )

    def add(command: Any) -> Any:
        @functools.wraps(command)
        def with_tls(*args: Any, tls_ca: Path | None, tls_identity: Path | None, **named: Any) -> Any:
            click.get_current_context().meta[_GIVEN] = (tls_ca, tls_identity)
            return command(*args, **named)

        added: Any = with_tls
        for each in reversed(options):
            added = each(added)
        return added

    return add


def client_of(address: str) -> NodeClient:
    """A client of the node at HOST:PORT, as --tls-ca and --tls-identity of the command say."""
    from node.api.client import ClientTls, NodeClient

    host_and_port("--node", address)
    ca, identity = _given()
    if ca is None and identity is not None:
        raise SetupError("--tls-identity: want --tls-ca too")
    return NodeClient(address, tls=ClientTls(ca, identity) if ca is not None else None)


def https_context(as_oneself: bool = False) -> ssl.SSLContext:
    """Whom to trust at https:// addresses: the system's authorities, and those of --tls-ca if the command has it.

    ``as_oneself`` shows the certificate of --tls-identity to who asks for it.
    """
    ca, identity = _given()
    context = ssl.create_default_context()
    path = click.get_current_context().meta.get(_GIVEN, _NO_FILES)[1]
    try:
        if ca is not None:
            context.load_verify_locations(cadata=ca.decode("ascii", "replace"))
        if as_oneself and identity is not None:
            context.load_cert_chain(path)
    except ssl.SSLError as fault:
        raise SetupError(f"--tls-ca, --tls-identity: want certificates, and the key of one's own: {fault}") from fault
    return context


def _given() -> tuple[bytes | None, bytes | None]:
    ca, identity = click.get_current_context().meta.get(_GIVEN, _NO_FILES)
    return _pem("--tls-ca", ca), _pem("--tls-identity", identity)


def _pem(flag: str, path: Path | None) -> bytes | None:
    try:
        given = path.read_bytes() if path is not None else None
    except OSError as fault:
        raise SetupError(f"{flag} {path}: {fault.strerror}") from fault
    if given is not None and b"-----BEGIN CERTIFICATE-----" not in given:
        raise SetupError(f"{flag} {path}: want certificates in PEM")
    return given
