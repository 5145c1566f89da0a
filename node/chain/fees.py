"""What a transaction offers for its gas."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fees:
    """Wei for a unit of gas: at most ``max_fee_per_gas``, of which the tip goes to whoever makes the block.

    On a network without base fees (before EIP-1559) there is no tip (None): transactions are legacy ones and
    ``max_fee_per_gas`` is their gas price.
    """

    max_fee_per_gas: int
    max_priority_fee_per_gas: int | None = None

    @property
    def is_legacy(self) -> bool:
        """Whether they are for a network that takes legacy transactions only."""
        return self.max_priority_fee_per_gas is None
