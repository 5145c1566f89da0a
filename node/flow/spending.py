"""What lanes pay for their transactions, as far as this process sees their balances fall."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping


class Spending:
    """Sums of wei by lane, since the process started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: Counter[str] = Counter()

    def saw(self, before: Mapping[str, int], after: Mapping[str, int]) -> None:
        """Balances of lanes at one look and at the next. One that was topped up meanwhile may have paid unseen."""
        with self._lock:
            for lane, balance in after.items():
                self._spent[lane] += max(0, before.get(lane, balance) - balance)

    def spent(self) -> dict[str, int]:
        """Wei by lane so far."""
        with self._lock:
            return dict(self._spent)
