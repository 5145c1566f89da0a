"""What chains say when they refuse, and what it means: JSON-RPC has no codes for it, only wordings.

The tables know Geth, Besu, Anvil, Hardhat and the embedded chain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from node.chain import shape
from node.chain.transport import EXECUTION_REVERTED, LIMIT_EXCEEDED, RpcError


class RefusalKind(StrEnum):
    """Why a chain didn't take a transaction."""

    NONCE_TOO_LOW = "nonce too low"
    NONCE_TOO_HIGH = "nonce too high"
    UNDERPRICED = "underpriced"
    NO_FUNDS = "no funds"
    GAS = "gas"
    POOL_FULL = "pool full"
    OVERSIZED = "oversized"
    WRONG_CHAIN = "wrong chain"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class SendRefusal:
    kind: RefusalKind
    message: str


_ALREADY_KNOWN = re.compile(r"already ?(known|imported)|known transaction", re.IGNORECASE)
# the first that matches counts
_REFUSALS: tuple[tuple[re.Pattern[str], RefusalKind], ...] = tuple(
    (re.compile(wording, re.IGNORECASE), kind)
    for wording, kind in (
        (r"nonce (is )?too low|nonce below|invalid nonce.*low", RefusalKind.NONCE_TOO_LOW),
        (r"nonce (is )?too (high|distant|far)|nonce gap|exceeds next nonce", RefusalKind.NONCE_TOO_HIGH),
        (r"insufficient (funds|balance)|upfront.?cost|enough funds", RefusalKind.NO_FUNDS),
        (r"invalid chain ?id|wrong ?chain|incorrect chain|chain ?id .*mismatch", RefusalKind.WRONG_CHAIN),
        (r"pool is full|pool full|pool limit|too many (pending|transactions)", RefusalKind.POOL_FULL),
        (r"oversized|(transaction|tx) (size|too large)", RefusalKind.OVERSIZED),
        (
            r"underpriced|(max )?fee per gas (is )?(less|lower|too low)|fee too low|"
            r"gas ?price.*(low|below|less)|maxFeePerGas.*(low|less)",
            RefusalKind.UNDERPRICED,
        ),
        (
            r"intrinsic gas|floor data gas|gas limit|at least \d+ gas|out of gas|gas too (low|high)|exceeds? .*gas",
            RefusalKind.GAS,
        ),
    )
)
_VM_FAILED = re.compile(
    r"revert|out of gas|invalid opcode|invalid instruction|invalid jump|stack (under|over)flow|"
    r"vm exception|EVM error|execution error",
    re.IGNORECASE,
)
_TOO_MANY = re.compile(
    r"more than \d+ (results|blocks|logs)|too many|too large|range|response size|limit", re.IGNORECASE
)


def is_already_known(error: RpcError) -> bool:
    """Whether the chain says that it has this very transaction."""
    return _ALREADY_KNOWN.search(error.message) is not None


def refusal_of(error: RpcError) -> SendRefusal:
    """Why a transaction wasn't taken; REJECTED if the wording is unknown."""
    for wording, kind in _REFUSALS:
        if wording.search(error.message):
            return SendRefusal(kind, error.message)
    return SendRefusal(RefusalKind.REJECTED, error.message)


def is_too_many(error: RpcError) -> bool:
    """Whether a smaller question would be answered."""
    return error.code == LIMIT_EXCEEDED or _TOO_MANY.search(error.message) is not None


def is_failed_call(error: RpcError) -> bool:
    """Whether a call was executed and failed, rather than not understood."""
    return error.code == EXECUTION_REVERTED or _VM_FAILED.search(error.message) is not None


def revert_data(data: Any) -> bytes:
    """The reason's bytes: most chains give them as ``data``, Hardhat one level deeper."""
    if isinstance(data, dict):
        data = data.get("data")
    try:
        return shape.data(data)
    except shape.ShapeError:
        return b""
