"""Users who keep their own key: what has to come with their circs, and whether they signed.

An account that is a key is recovered from the signature, here. One that is a contract (EIP-1271) has to be asked, over
the network, which must not happen while others wait for the index. So a signature that no key made is first refused
with `Unsure`, outside the transaction the account is asked (`node.flow.wallets`), and the call is done again with what
it said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from node.chain import contract, signer
from node.chain.gas import RANGES_MAX, cut, wallet_gas
from node.domain.limits import SIGNATURE_BYTES_MAX
from node.domain.model import Circ, CircType, Range, ids_of
from node.errors import Reason, Status, VTraceError, invalid
from node.flow.actors import Operator
from node.flow.ledger import Ledger
from node.store import accounts

RETRY_SECONDS = 5
SIGNATURE = "metadata vtrace-signature-bin"
_RANGES_MAX = RANGES_MAX - SIGNATURE_BYTES_MAX // 64


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an account that is no key of ours to recover said of a digest."""

    digest: bytes
    approves: bool
    is_contract: bool


@dataclass(frozen=True, slots=True)
class OwnSignature:
    """What came with a circ. ``version`` is the one that was signed, if the caller says so."""

    signature: bytes
    salt: bytes
    version: int | None = None
    verdict: Verdict | None = None


class Unsure(Exception):
    """No key of ``account`` made the signature over ``digest``; if the account is a contract, it has to be asked."""

    def __init__(self, account: str, digest: bytes) -> None:
        super().__init__(f"no key of {account} signed")
        self.account = account
        self.digest = digest


def check_who_signs(operator: Operator, own: OwnSignature | None) -> None:
    """FAILED_PRECONDITION unless the circ is signed by whoever keeps the key: the node, or the user."""
    actor = operator.actor
    if operator.signatory is None and own is None:
        raise _not_so(
            f"actor {actor.id} keeps its own key, account {actor.account}, so the node can't sign for it: call "
            "PrepareCirc, sign, and send the call with the metadata vtrace-signature-bin and vtrace-salt-bin",
            actor=actor.id,
            account=actor.account,
        )
    if operator.signatory is not None and own is not None:
        raise _not_so(
            f"the node keeps the key of actor {actor.id}: record without a signature, or call SetAccount first",
            actor=actor.id,
            account=actor.account,
        )


def whole(field: str, circ_type: CircType, ranges: Sequence[Range], gas_max: int) -> tuple[Range, ...]:
    """The goods of a circ that its user signs: one transaction, with room for any signature. INVALID_ARGUMENT."""
    first = cut(circ_type, ranges, gas_max - wallet_gas(SIGNATURE_BYTES_MAX))[0][:_RANGES_MAX]
    fits, given = len(ids_of(first)), len(ids_of(ranges))
    if fits < given:
        raise invalid(field, f"{given} goods", f"at most the first {fits}, since each transaction is signed apart")
    return first


def signature_of(operator: Operator, own: OwnSignature | None, ledger: Ledger, circ: Circ) -> tuple[bytes, int]:
    """The operator's signature, and the gas that its check needs beside a key's."""
    message = contract.circ_message(ledger.chain_id, ledger.contract, circ)
    if own is None:
        assert operator.signatory is not None
        return operator.signatory.sign(message), 0
    gas = _check(operator.actor.account, own, signer.hashed(message), circ)
    if gas and not accounts.is_settled(operator.actor.id):
        # A contract can take back its word until then; what it signed would be in nobody's name.
        raise VTraceError(
            Reason.CREATE_CIRC_FAILED,
            f"account {operator.actor.account} is a contract, and that it speaks for actor {operator.actor.id} is not "
            "final on the chain yet: try again later",
            status=Status.UNAVAILABLE,
            retry_seconds=RETRY_SECONDS,
        )
    return own.signature, gas


def signed_by_key(account: str, digest: bytes, signature: bytes) -> bool:
    """Whether the account is a key, and the signature its own."""
    try:
        return signer.recover(digest, signature) == account
    except ValueError:
        return False


def _check(account: str, own: OwnSignature, digest: bytes, circ: Circ) -> int:
    if signed_by_key(account, digest, own.signature):
        return 0
    if own.version is not None and own.version != circ.version:
        raise _stale(circ, f"was signed for version {own.version}", own.version)
    verdict = own.verdict
    if verdict is None:
        raise Unsure(account, digest)
    if verdict.digest != digest:
        raise _stale(circ, "changed while the account was asked", own.version)
    if verdict.approves:
        return wallet_gas(len(own.signature))
    # New goods have no version that could tell: others that were made meanwhile took the ids that were signed.
    told = own.version is not None and circ.version > 0
    if told or not (verdict.is_contract or _has_form(own.signature)):
        raise invalid(
            SIGNATURE,
            f"{len(own.signature)} bytes",
            f"the signature of account {account} over what PrepareCirc gave for this very request and salt",
        )
    raise _stale(circ, f"is not what account {account} signed: another state, or another circ or salt", None)


def _has_form(signature: bytes) -> bool:
    try:
        signer.recover(bytes(signer.DIGEST_BYTES), signature)
    except ValueError:
        return False
    return True


def _stale(circ: Circ, why: str, given: int | None) -> VTraceError:
    told = {} if given is None else {"given": given}
    return _not_so(
        f"the circ {why}; now the goods' version is {circ.version}: call PrepareCirc and sign again",
        rule="WrongVersion",
        version=circ.version,
        **told,
    )


def _not_so(message: str, **metadata: object) -> VTraceError:
    return VTraceError(Reason.CREATE_CIRC_FAILED, message, metadata=metadata, status=Status.FAILED_PRECONDITION)
