"""The packed fields at their limits: nothing spills into a neighbour, and what doesn't fit has its own error."""

from __future__ import annotations

import pytest

from node.chain import contract
from node.domain.model import ACTOR_MAX, GOODS_ID_MAX, TIMES_MAX, Range

from .ledger import EXAM, PRODUCE, TRANSFER, Ledger, circ, key_of, sign

LAST_KEY = key_of(4711)
WORD = Range(16, 8)
FULL = 2**256 - 1


@pytest.fixture
def crowded(ledger: Ledger) -> Ledger:
    """A ledger whose next actor was the last: its number fills the holder's bits."""
    ledger.poke_actors(ACTOR_MAX - 1)
    assert ledger.register(LAST_KEY) == ACTOR_MAX
    return ledger


def test_a_lane_fills_to_its_last_bit(crowded: Ledger) -> None:
    for goods_id in WORD:
        crowded.poke_goods(goods_id, holder=1, times=TIMES_MAX - 1)
    taken = circ((WORD,), TRANSFER, 1, ACTOR_MAX, version=8 * (TIMES_MAX - 1))
    assert crowded.circulate(taken).error is None
    assert [crowded.word(number) for number in (1, 2, 3)] == [0, FULL, 0]
    again = circ((WORD,), EXAM, ACTOR_MAX, version=8 * TIMES_MAX)
    refused = crowded.circulate(again, sign(contract.circ_digest(1337, crowded.address, again), LAST_KEY))
    assert refused.error == "TimesExhausted(goodsId=16)"
    assert crowded.word(2) == FULL


def test_the_highest_holder_gives_to_the_lowest(crowded: Ledger) -> None:
    for goods_id in WORD:
        crowded.poke_goods(goods_id, holder=ACTOR_MAX, times=TIMES_MAX - 1)
    back = circ((Range(17, 6),), TRANSFER, ACTOR_MAX, 1, version=6 * (TIMES_MAX - 1))
    assert crowded.circulate(back, sign(contract.circ_digest(1337, crowded.address, back), LAST_KEY)).error is None
    kept, given = (ACTOR_MAX, TIMES_MAX - 1), (1, TIMES_MAX)
    assert [crowded.goods(goods_id) for goods_id in WORD] == [kept, *6 * [given], kept]


def test_the_last_words_are_the_last_goods(ledger: Ledger) -> None:
    last = Range(GOODS_ID_MAX - 1, 2)
    assert ledger.circulate(circ((Range(1, 1), last), PRODUCE, 1)).error is None
    lane = 1 << 20 | 1
    assert ledger.word(0) == lane << 32
    assert ledger.word(2**28 - 1) == lane << 6 * 32 | lane << 7 * 32


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("value", [2**32 + 1, 2**32 + 5, 2**255, 2**256 - 1])
def test_a_range_beyond_its_type_is_refused(ledger: Ledger, place: int, value: int) -> None:
    wanted = circ((Range(3, 5),), PRODUCE, 1)
    data = bytearray(contract.circulate_data(wanted, ledger.sign(wanted)))
    at = 4 + 32 * (8 + place)
    assert int.from_bytes(data[at : at + 32], "big") == (3, 5)[place]
    data[at : at + 32] = value.to_bytes(32, "big")
    outcome = ledger.send(bytes(data))
    assert outcome.error is not None
    assert not outcome.logs
    assert ledger.word(0) == 0
