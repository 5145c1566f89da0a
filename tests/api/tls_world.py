"""A node that speaks TLS and asks clients for certificates, and who calls it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
from cryptography import x509

from node.config import Config
from tests.flow.world import Running, started
from tests.support.certificates import Authority, Issued
from tests.support.wire_client import WireClient

SECONDS_MAX = 30


@dataclass
class World:
    """A node with TLS that asks clients for certificates."""

    running: Running
    folder: Path
    authority: Authority

    @property
    def grpc(self) -> str:
        return self.running.ready.grpc

    @property
    def base(self) -> str:
        return f"https://{self.running.ready.http}"

    def credentials(self, client: Issued | None) -> grpc.ChannelCredentials:
        own = (client.key, client.certificate) if client else (None, None)
        return grpc.ssl_channel_credentials(self.authority.pem, *own)

    def client(self, issued: Issued | None, token: str | None = None) -> WireClient:
        made = WireClient(self.grpc, token)
        made.close()
        # A channel with the same credentials would share the other's connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        made._channel = grpc.secure_channel(self.grpc, self.credentials(issued), options=options)
        return made

    def context(self, issued: Issued | None = None) -> ssl.SSLContext:
        made = ssl.create_default_context(cadata=self.authority.pem.decode())
        if issued is not None:
            path = self.folder / "client.pem"
            path.write_bytes(issued.certificate + issued.key)
            made.load_cert_chain(path)
        return made

    def write(self, issued: Issued) -> None:
        for name, content in (("cert.pem", issued.certificate), ("key.pem", issued.key)):
            new = self.folder / f"{name}.new"
            new.write_bytes(content)
            new.replace(self.folder / name)

    def shown(self, address: str) -> int:
        """The serial number of the certificate that a server shows."""
        host, _, port = address.rpartition(":")
        context = self.context(self.authority.issue())
        with (
            socket.create_connection((host, int(port)), SECONDS_MAX) as plain,
            context.wrap_socket(plain, server_hostname=host) as over,
        ):
            return x509.load_der_x509_certificate(over.getpeercert(binary_form=True) or b"").serial_number


@contextmanager
def new_world(folder: Path) -> Iterator[World]:
    """The node for the length of a block."""
    authority = Authority()
    (folder / "ca.pem").write_bytes(authority.pem)
    config = Config(
        folder / "data",
        "127.0.0.1:0",
        "127.0.0.1:0",
        tls_cert=folder / "cert.pem",
        tls_key=folder / "key.pem",
        tls_client_ca=folder / "ca.pem",
    )
    made = World(None, folder, authority)  # type: ignore[arg-type]
    made.write(authority.issue())
    with started(config) as running:
        made.running = running
        yield made
