"""The signature of a caller who keeps its own key: it comes as metadata of the call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from google.protobuf.message import Message

from node.api.call import KEY, Call
from node.domain.form import SALT_BYTES
from node.domain.limits import SIGNATURE_BYTES_MAX
from node.errors import invalid
from node.flow.sovereign import OwnSignature, Unsure
from node.flow.wallets import Wallets

M = TypeVar("M", bound=Message)

SIGNATURE, SALT, VERSION = "vtrace-signature-bin", "vtrace-salt-bin", "vtrace-version"
VERSION_DIGITS_MAX = 18
SIGNED = frozenset({"CreateCirc", "BatchCirc", "BatchCreateGoods"})
"""The rpcs that record a circ, which a caller with a key of its own signs."""
_BESIDE = frozenset({KEY, SIGNATURE, SALT, VERSION})


def is_plain(metadata: Iterable[tuple[str, Any]]) -> bool:
    """Whether a call has neither an idempotency key nor a signature: it waits for nothing but the index."""
    return _BESIDE.isdisjoint([name for name, _ in metadata])


def signature_in(metadata: Iterable[tuple[str, Any]]) -> OwnSignature | None:
    """The signature of a call, if it has one; INVALID_ARGUMENT for one that is not whole."""
    found: dict[str, Any] = {}
    for name, value in metadata:
        if name in (SIGNATURE, SALT, VERSION):
            if name in found:
                raise invalid(f"metadata {name}", "two values", "one value")
            found[name] = value
    if not found:
        return None
    signature, salt, version = found.get(SIGNATURE, b""), found.get(SALT, b""), found.get(VERSION)
    if not 1 <= len(signature) <= SIGNATURE_BYTES_MAX:
        want = f"1 to {SIGNATURE_BYTES_MAX} bytes, 65 of a key"
        raise invalid(f"metadata {SIGNATURE}", f"{len(signature)} bytes", want)
    if len(salt) != SALT_BYTES:
        raise invalid(f"metadata {SALT}", f"{len(salt)} bytes", f"the {SALT_BYTES} bytes that PrepareCirc gave")
    if version is not None and not (version.isascii() and version.isdigit() and len(version) <= VERSION_DIGITS_MAX):
        raise invalid(f"metadata {VERSION}", version, "the version that PrepareCirc gave, in decimal digits")
    return OwnSignature(signature, salt, None if version is None else int(version))


def signed_once(call: Call, wallets: Wallets, work: Callable[[OwnSignature | None], M]) -> M:
    """Do a call's work once, and again where the account itself has to be asked about the caller's signature."""
    own = signature_in(call.metadata)
    try:
        return call.once(lambda: work(own))
    except Unsure as question:
        assert own is not None
        heard = wallets.heard(own, question)
    return call.once(lambda: work(heard))
