"""What the process of ``vtrace serve --workers N`` and those that it starts say to each other."""

from __future__ import annotations

from dataclasses import dataclass

from node.config import Config


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is to do: its number, and the node's settings, with the ports that all share.

    It inherits the ends of the pipe of wakes, and the memory of shared tallies.
    """

    number: int
    config: Config
    reading: int
    writing: int
    tallies: int


@dataclass(frozen=True, slots=True)
class Started:
    """It answers calls."""

    chain_id: int
    contract: str


@dataclass(frozen=True, slots=True)
class Failed:
    """It ends, since it can't start or go on; a message for who runs the node."""

    message: str


@dataclass(frozen=True, slots=True)
class Behind:
    """It ends, since the index is older than the chain: how many transactions of which signers it does not know."""

    unknown: dict[str, int]


@dataclass(frozen=True, slots=True)
class Beat:
    """It is alive."""
