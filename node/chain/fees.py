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

    @property
    def text(self) -> str:
        """Both as ``parsed`` reads them."""
        tip = self.max_priority_fee_per_gas
        return str(self.max_fee_per_gas) if tip is None else f"{self.max_fee_per_gas} {tip}"

    @staticmethod
    def parsed(text: str) -> Fees:
        """What ``text`` says."""
        return Fees(*map(int, text.split(" ")))

    def at_most(self, highest: int | None) -> Fees:
        """The same, but no more than ``highest`` for a unit of gas."""
        if highest is None or self.max_fee_per_gas <= highest:
            return self
        tip = self.max_priority_fee_per_gas
        return Fees(highest, None if tip is None else min(tip, highest))

    def raised_to(self, offered: Fees, highest: int | None) -> Fees | None:
        """What replaces a transaction with these fees in every pool, now that ``offered`` is what the chain asks for.

        Pools demand 10 % more of fee and tip alike (Geth's and Besu's rule; we offer an eighth). None if that
        exceeds ``highest``, or if there is nothing to raise because gas is free.
        """
        if not self.max_fee_per_gas and not offered.max_fee_per_gas:
            return None
        fee = _raised(self.max_fee_per_gas, offered.max_fee_per_gas, highest)
        if fee is None or self.max_priority_fee_per_gas is None:
            return None if fee is None else Fees(fee)
        tip = _raised(self.max_priority_fee_per_gas, offered.max_priority_fee_per_gas or 0, fee)
        return None if tip is None else Fees(fee, tip)


def _raised(fee: int, wanted: int, highest: int | None) -> int | None:
    least = fee + max(fee // 8, 1)
    raised = max(least, wanted) if highest is None else min(max(least, wanted), highest)
    return raised if raised >= least else None
