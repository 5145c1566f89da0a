"""The user behind a client certificate, whose chain TLS has verified against --tls-client-ca."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from cryptography import x509

from node.api.auth import Session, Tokens
from node.domain.certificates import username_in
from node.domain.records import User
from node.errors import Reason, VTraceError

CERTIFICATES_REMEMBERED_MAX = 1_024


class Callers:
    """Who calls: by token, by client certificate, or by both if they agree."""

    def __init__(self, tokens: Tokens, find: Callable[[str], User | None]) -> None:
        self._tokens = tokens
        self._find = find

    def session(self, authorization: str | None, certificate: bytes | None) -> Session:
        """The caller; UNAUTHENTICATED without one. ``certificate`` is DER or PEM."""
        username = _username(certificate) if certificate is not None else None
        if username is None:
            return self._tokens.session(authorization)
        user = self._find(username)
        if user is None or user.deleted:
            raise _refused("client certificate: names no user of this node")
        if authorization is None:
            # It gave no password, so RefreshToken has nothing to refresh: a token would outlive the certificate.
            return Session(user, 0)
        session = self._tokens.session(authorization)
        if session.user.id != user.id:
            raise _refused("client certificate: of another user than the token")
        return session


@lru_cache(CERTIFICATES_REMEMBERED_MAX)
def _username(certificate: bytes) -> str | None:
    try:
        load = x509.load_pem_x509_certificate if certificate.startswith(b"-----") else x509.load_der_x509_certificate
        names = load(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return username_in(names.get_values_for_type(x509.UniformResourceIdentifier))
    except x509.ExtensionNotFound:
        return None
    except (ValueError, x509.DuplicateExtension) as fault:
        raise _refused(f"client certificate: {fault}") from None


def _refused(message: str) -> VTraceError:
    return VTraceError(Reason.TOKEN_EXPIRED, message)
