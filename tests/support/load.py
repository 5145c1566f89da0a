"""Callers that record circs until the node is gone, and remember what they were told."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.support import people
from tests.support.wire_client import Refusal, WireClient

CALLS_MAX = 100_000
JOIN_SECONDS_MAX = 120
GONE = ("UNAVAILABLE", "CANCELLED", "DEADLINE_EXCEEDED")
"""What a caller sees of a node that dies: whether the circ was recorded is then unknown."""


class Load:
    """Each caller has goods of its own, and every third of its calls is about all of them.

    ``answered`` is what the callers were told: trans_id → goods, in the order of the answers. ``unknown`` counts the
    calls that had no answer, ``faults`` are refusals that nobody expects. ``each`` is told how many answers there are,
    after each of them. A caller rests for ``pause_seconds`` between two calls.
    """

    def __init__(
        self,
        address: str,
        token: str | None,
        goods: Sequence[int],
        callers: int,
        each: Callable[[int], None] = lambda _: None,
        pause_seconds: float = 0.0,
    ) -> None:
        self.answered: dict[str, list[int]] = {}
        self.unknown = 0
        self.faults: list[Refusal] = []
        self._address = address
        self._token = token
        self._each = each
        self._pause_seconds = pause_seconds
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(list(goods[caller::callers]),)) for caller in range(callers)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def run(self) -> None:
        """Until the node is gone."""
        self.start()
        self.join()

    def halt(self) -> None:
        """Call no more."""
        self._stopping.set()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(JOIN_SECONDS_MAX)
            if thread.is_alive():
                raise AssertionError("a caller did not end")

    def _call(self, goods: list[int]) -> None:
        client = WireClient(self._address, self._token)
        try:
            for number in itertools.takewhile(lambda _: not self._stopping.is_set(), range(CALLS_MAX)):
                try:
                    told = _record(client, goods, number)
                except Refusal as refusal:
                    with self._lock:
                        if refusal.status in GONE:
                            self.unknown += 1
                        else:
                            self.faults.append(refusal)
                    return
                with self._lock:
                    self.answered.update(told)
                    self._each(len(self.answered))
                self._stopping.wait(self._pause_seconds)
        finally:
            client.close()


def _record(client: WireClient, goods: list[int], number: int) -> dict[str, list[int]]:
    if number % 3 == 2:
        answer = client.call("BatchCirc", goods_ids=goods, circ_type=1, form_info=b'{"batch":1}')
        return {answer.goodsId2transId[goods[0]]: goods}
    one = goods[number % len(goods)]
    return {client.call("CreateCirc", goods_id=one, circ_type=1).trans_id.value: [one]}


@dataclass(frozen=True, slots=True)
class Books:
    """The histories of goods beside what callers were told. ``circs`` counts those of one transaction once."""

    circs: int
    lost: frozenset[str]
    """Answered, but not with all its goods in their histories."""
    doubled: frozenset[str]
    """More than once in the history of one goods."""
    unsuccessful: frozenset[str]
    disordered: frozenset[int]
    """Goods whose ``times`` are not 0, 1, 2 …"""

    @property
    def balance(self) -> bool:
        return not (self.lost or self.doubled or self.unsuccessful or self.disordered)


def books(client: WireClient, goods: Sequence[int], answered: Mapping[str, Sequence[int]]) -> Books:
    """Look once nothing of these goods is pending any more; waits for it."""
    seen: Counter[tuple[str, int]] = Counter()
    unsuccessful: set[str] = set()
    disordered: set[int] = set()
    for goods_id in goods:
        records = people.settled(client, goods_id)
        if [record.times.value for record in records] != list(range(len(records))):
            disordered.add(goods_id)
        unsuccessful.update(record.trans_id.value for record in records if record.status.value != "success")
        seen.update((record.trans_id.value, goods_id) for record in records)
    return Books(
        len({trans_id for trans_id, _ in seen}),
        frozenset(trans_id for trans_id, ids in answered.items() if any((trans_id, one) not in seen for one in ids)),
        frozenset(trans_id for (trans_id, _), count in seen.items() if count > 1),
        frozenset(unsuccessful),
        frozenset(disordered),
    )
