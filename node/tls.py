"""The certificate that both servers show, read anew when its files change.

A certificate and its key are two files, so between two writes they may not fit: until they do, the ones before stay.
"""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from node.errors import SetupError

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 has no others."""

log = logging.getLogger(__name__)

Stamps = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Material:
    """What the files held: PEM."""

    key: bytes
    chain: bytes


class TlsFiles:
    """The files of --tls-cert, --tls-key and --tls-client-ca. SetupError if they can't be used."""

    def __init__(self, cert: Path, key: Path, client_ca: Path | None) -> None:
        self._cert = cert
        self._key = key
        self._lock = threading.Lock()
        self._stamps = self._read_stamps()
        self._refused: Stamps | None = None
        self._material = self._read()
        self.client_ca: bytes | None = None
        if client_ca is not None:
            try:
                self.client_ca = client_ca.read_bytes()
                _server_context().load_verify_locations(cadata=self.client_ca.decode("ascii"))
            except (OSError, ValueError) as fault:
                raise SetupError(f"--tls-client-ca {client_ca}: want certificates in PEM ({_said(fault)})") from fault

    def current(self) -> Material:
        """The certificate and key as they are now; the last ones that fitted each other, if the new ones don't."""
        with self._lock:
            try:
                stamps = self._read_stamps()
            except SetupError as fault:
                self._keep(None, fault)
                return self._material
            if stamps not in (self._stamps, self._refused):
                try:
                    self._material = self._read()
                    self._stamps, self._refused = stamps, None
                    log.info("%s: the renewed certificate is in use", self._cert)
                except SetupError as fault:
                    self._keep(stamps, fault)
            return self._material

    def _keep(self, refused: Stamps | None, fault: SetupError) -> None:
        self._refused = refused
        log.warning("the certificate stays what it was: %s", fault)

    def context(self) -> tuple[ssl.SSLContext, Callable[[], None]]:
        """A context for servers of this process, and what brings it up to date, to be called before a handshake."""
        context = _server_context()
        if self.client_ca is not None:
            context.load_verify_locations(cadata=self.client_ca.decode("ascii"))
            context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        self._load(context)
        loaded = self._material

        def refresh() -> None:
            nonlocal loaded
            now = self.current()
            if now is not loaded:
                try:
                    self._load(context)
                    loaded = now
                except (OSError, ValueError) as fault:  # written again in this moment: the next handshake looks again
                    log.warning("%s: %s", self._cert, _said(fault))

        return context, refresh

    def _load(self, context: ssl.SSLContext) -> None:
        context.load_cert_chain(self._cert, self._key, password="")  # nosec B106: so that OpenSSL asks at no terminal

    def _read(self) -> Material:
        try:
            self._load(_server_context())
            return Material(self._key.read_bytes(), self._cert.read_bytes())
        except (OSError, ValueError) as fault:
            want = "want a certificate (with its chain) and its key, in PEM, the key not encrypted"
            raise SetupError(f"--tls-cert {self._cert}, --tls-key {self._key}: {want} ({_said(fault)})") from fault

    def _read_stamps(self) -> Stamps:
        try:
            found = [path.stat() for path in (self._cert, self._key)]
        except OSError as fault:
            raise SetupError(f"--tls-cert {self._cert}, --tls-key {self._key}: {_said(fault)}") from fault
        return tuple((one.st_mtime_ns, one.st_size, one.st_ino) for one in found)


def _server_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _said(fault: Exception) -> str:
    """A reason of one line, without bytes of a file."""
    return str(getattr(fault, "strerror", None) or getattr(fault, "reason", None) or type(fault).__name__)
