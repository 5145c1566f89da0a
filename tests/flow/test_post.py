"""Posting over TLS, and to the very address that was looked at."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.flow import post
from node.flow.post import NotTaken, Poster


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of its own authority for the name hook.example.com, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hook.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.example.com")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@contextmanager
def tls_server(certificate: Path, answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answers every request with the same bytes; the port, and what was asked."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    listening, asked = socket.create_server(("127.0.0.1", 0)), []

    def run() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as sealed:
                    head = b""
                    while b"{}" not in head:
                        head += sealed.recv(65_536)
                    asked.append(head)
                    sealed.sendall(answer)
            except OSError:
                connection.close()  # the node did not like the certificate

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], asked
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


@pytest.fixture
def resolves_to(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes every name resolve to these addresses, one more each time it is asked."""
    real = socket.getaddrinfo

    def resolves(*addresses: str) -> list[str]:
        asked: list[str] = []

        def answer(host: str, port: int, *_: Any, **__: Any) -> Any:
            if isinstance(host, str) and host.replace(".", "").isdigit():
                return real(host, port, type=socket.SOCK_STREAM)
            asked.append(host)
            return real(addresses[min(len(asked), len(addresses)) - 1], port, type=socket.SOCK_STREAM)

        monkeypatch.setattr(socket, "getaddrinfo", answer)
        return asked

    return resolves


def test_tls_is_checked_against_the_name(certificate: Path, monkeypatch: pytest.MonkeyPatch, resolves_to: Any) -> None:
    resolves_to("127.0.0.1")
    with tls_server(certificate, b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n") as (port, asked):
        url = f"https://hook.example.com:{port}/a?b=c"
        with pytest.raises(NotTaken, match="certificate"):
            Poster(is_local=True).post(url, {}, b"{}")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        Poster(is_local=True).post(url, {"x": "y"}, b"{}")
        assert asked[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")
        assert f"host: hook.example.com:{port}\r\n".encode() in asked[0].lower()
        assert asked[0].lower().count(b"host:") == 1
        with pytest.raises(NotTaken, match="certificate"):
            Poster(is_local=True).post(url.replace("hook", "other"), {}, b"{}")


def test_the_address_that_was_looked_at_is_the_one_that_is_called(
    monkeypatch: pytest.MonkeyPatch, resolves_to: Any
) -> None:
    """A name that answers with a public address first and a private one then gains nothing."""
    asked = resolves_to("93.184.215.14", "127.0.0.1")
    called: list[Any] = []

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> Any:
        called.append(address)
        raise ConnectionRefusedError("nothing leaves this machine")

    monkeypatch.setattr(post.socket, "create_connection", connect)
    with pytest.raises(NotTaken, match="ConnectionRefusedError"):
        Poster(is_local=False).post("https://hook.example.com/", {}, b"{}")
    assert (asked, called) == (["hook.example.com"], [("93.184.215.14", 443)])
    with pytest.raises(NotTaken, match=r"is 127\.0\.0\.1, which is no public address"):
        Poster(is_local=False).post("https://hook.example.com/", {}, b"{}")
    assert len(called) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]"])
def test_other_ways_to_write_loopback_are_refused_too(host: str) -> None:
    with pytest.raises(NotTaken, match=r"no public address|has no address"):
        Poster(is_local=False).post(f"https://{host}:1/", {}, b"{}")
