"""What the sender does about each reason for which a chain refuses a transaction: the one table of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from node.chain.rpc import RefusalKind


class Action(Enum):
    """How a lane goes on after a refusal."""

    CONFIRM = auto()
    """The nonce is used up: the confirmer finds out by which transaction."""
    RESEND = auto()
    """Earlier transactions of the lane were lost: hand over all that no block holds again."""
    BUMP = auto()
    """Sign again with higher fees."""
    WAIT = auto()
    """Try again later, with growing pauses. Nothing behind it can go out meanwhile."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is done, and what an operator can do."""

    action: Action
    advice: str = ""


ANSWERS: dict[RefusalKind, Answer] = {
    RefusalKind.NONCE_TOO_LOW: Answer(Action.CONFIRM),
    RefusalKind.NONCE_TOO_HIGH: Answer(Action.RESEND),
    RefusalKind.UNDERPRICED: Answer(Action.BUMP, "raise --max-fee"),
    RefusalKind.NO_FUNDS: Answer(Action.WAIT, "send funds to {signer}"),
    RefusalKind.POOL_FULL: Answer(Action.WAIT, "nothing is lost; it goes on when the endpoint's pool has room"),
    RefusalKind.GAS: Answer(Action.WAIT, "ask the network's operators for a block gas limit of 33554432 or more"),
    RefusalKind.OVERSIZED: Answer(Action.WAIT, "name an endpoint (--chain) that takes transactions of 128 KiB"),
    RefusalKind.WRONG_CHAIN: Answer(Action.WAIT, "name the endpoint of the node's own chain (--chain)"),
    RefusalKind.REJECTED: Answer(Action.WAIT, "look at the endpoint's own log"),
}
