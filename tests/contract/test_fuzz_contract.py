"""A short run of scripts/fuzz_contract, and that it finds what it should."""

from __future__ import annotations

from collections import Counter

import pytest

from node.domain import custody
from scripts import fuzz_contract as fuzz

SEED = 25
BATCHES = 3_000


def test_the_contract_and_the_rules_agree() -> None:
    seen: Counter[tuple[str, str]] = Counter()
    for _, counted in fuzz.play(SEED, BATCHES, jobs=2):
        seen.update(counted)
    verdicts = {which: count for (what, which), count in seen.items() if what == "verdict"}
    assert sum(verdicts.values()) == BATCHES
    assert verdicts["taken"] > BATCHES // 6
    assert set(verdicts) == {
        "taken",
        "NoGoods",
        "EmptyRange",
        "GoodsIdOutOfBounds",
        "RangesNotAscending",
        "UnknownCircType",
        "UnknownActor",
        "ActorDisabled",
        "MissingRight",
        "TransferToSelf",
        "WrongReceiver",
        "BadSignature",
        "NotHolder",
        "TimesExhausted",
        "WrongVersion",
    }


def test_an_episode_repeats() -> None:
    assert fuzz.play_episode(1, 2, 40) == fuzz.play_episode(1, 2, 40)


@pytest.mark.parametrize(("limit", "off"), [("EXAM_TIMES_MAX", -1), ("EXAM_TIMES_MAX", 1), ("TIMES_MAX", -1)])
def test_a_rule_that_is_off_by_one_is_found(monkeypatch: pytest.MonkeyPatch, limit: str, off: int) -> None:
    monkeypatch.setattr(custody, limit, getattr(custody, limit) + off)
    with pytest.raises(fuzz.Difference, match=rf"seed {SEED}, episode 0, batch \d+ .*TimesExhausted"):
        fuzz.play_episode(SEED, 0, 8 * fuzz.EPISODE_BATCHES)


def test_batches_are_divided_into_episodes() -> None:
    assert fuzz.episodes(510) == [(0, 250), (1, 250), (2, 10)]
    assert fuzz.episodes(250) == [(0, 250)]
