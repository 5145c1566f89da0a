"""What scripts/fuzz_contract plays: random batches, to the contract and to the rules in node/domain/custody.py.

Both must give the same verdict, to the error's arguments, leave the same holders and times behind, and the contract
must emit exactly the circ. An episode is some hundred batches on one state, which starts fresh; it follows from the
seed and its number alone, whoever plays it, so a difference is found again by the seed that it is reported with.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from random import Random

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from node.chain import contract
from node.domain import custody
from node.domain.custody import CustodyError, GoodsState
from node.domain.model import (
    ACTOR_MAX,
    EXAM_TIMES_MAX,
    GOODS_ID_MAX,
    TIMES_MAX,
    Circ,
    CircType,
    Range,
    Rights,
    ids_of,
    ranges_of,
)
from tests.contract.ledger import REGISTRAR, Ledger, address_of, key_of

ACTORS = 5
ALL_RIGHTS = Rights.CIRCULATE | Rights.PRODUCE | Rights.EXAMINE
EPISODE_BATCHES = 250
REGION_GOODS = 96
REGIONS = (1, 1_000, 123_456_789, GOODS_ID_MAX - REGION_GOODS + 1)
"""Where an episode's goods are: from the first, at a word's border, far off, and up to the last."""
SHOWN_MAX = 64
"""Of a range that leaves all bounds, how many goods are looked at."""
SECP256K1_N = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Difference(Exception):
    """The contract and the rules disagree."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One call: what it is about, how its goods were chosen, and the signature that it comes with."""

    circ: Circ
    spread: str
    signature: str


@cache
def _deployed() -> Ledger:
    ledger = Ledger()
    for _ in range(ACTORS):
        ledger.register()
    return ledger


class Episode:
    """One state of the contract, and what the rules make of it."""

    def __init__(self, seed: int, number: int) -> None:
        self._random = Random(f"{seed}/{number}")
        self._ledger = _deployed().fork()
        self._goods: dict[int, GoodsState] = {}
        self._rights = dict.fromkeys(range(1, ACTORS + 1), ALL_RIGHTS)
        self._region = self._random.choice(REGIONS)

    def play(self, batches: int) -> Counter[tuple[str, str]]:
        """Play so many batches; how often each spread, signature and verdict came. Difference where they disagree."""
        seen: Counter[tuple[str, str]] = Counter()
        for index in range(batches):
            if self._random.random() < 0.04:
                self._change_rights()
            if self._random.random() < 0.08:
                self._age()
            batch = self._batch()
            try:
                verdict = self._hold_against(batch)
            except Difference as difference:
                raise Difference(f"batch {index} {batch}: {difference}") from None
            seen.update((("goods", batch.spread), ("signature", batch.signature), ("verdict", verdict)))
        return seen

    # What is played

    def _batch(self) -> Batch:
        chance = self._random
        spread, goods = self._spread()
        known = [self._goods[goods_id].holder for goods_id in _some_ids(goods) if goods_id in self._goods]
        operator = chance.choice(known) if known and chance.random() < 0.8 else self._actor()
        circ_type = chance.choice(list(CircType)) if chance.random() < 0.97 else CircType.PROCESS
        if not known and chance.random() < 0.7:
            circ_type = CircType.PRODUCE
        if spread not in ("odd", "id limits", "overlapping") and chance.random() < 0.7:
            goods = self._allowed(goods, circ_type, operator) or goods
        names_another = circ_type in (CircType.PRODUCE, CircType.TRANSFER) or chance.random() < 0.03
        to = self._actor() if names_another else operator
        version = sum(self._state(goods_id).times for goods_id in _some_ids(goods))
        if chance.random() < 0.08:
            version = chance.choice([version + 1, max(version - 1, 0), chance.getrandbits(256), 2**256 - 1])
        circ = Circ(goods, circ_type, operator, to, chance.randbytes(32), version)
        if chance.random() < 0.02:
            # A number that is no kind, as only the contract's caller can send one.
            circ = Circ(goods, chance.choice([2, 5, 64, 255]), operator, to, circ.form_digest, version)  # type: ignore[arg-type]
        weights = {"right": 92, "another's": 2, "of another circ": 2, "changed": 2, "mirrored": 1, "short": 1}
        return Batch(circ, spread, chance.choices(list(weights), list(weights.values()))[0])

    def _allowed(self, goods: tuple[Range, ...], circ_type: CircType, operator: int) -> tuple[Range, ...]:
        """Those of the goods whose holder does not forbid the circ."""
        found = []
        for goods_id in ids_of(goods):
            holder = self._state(goods_id).holder
            others = holder == 0 if circ_type is CircType.PRODUCE else circ_type is CircType.EXAM and holder != 0
            if holder == operator or others:
                found.append(goods_id)
        return ranges_of(found)

    def _actor(self) -> int:
        chance = self._random
        if chance.random() < 0.95:
            return chance.randint(1, ACTORS)
        return chance.choice([0, ACTORS + 1, ACTOR_MAX, ACTOR_MAX + 1, 2**32 - 1])

    def _spread(self) -> tuple[str, tuple[Range, ...]]:
        chance, first, last = self._random, self._region, self._region + REGION_GOODS - 1
        kinds = ("neighbouring", "scattered", "word borders", "lanes", "odd", "id limits", "overlapping")
        spread = chance.choices(kinds, (30, 20, 20, 10, 8, 6, 6))[0]
        match spread:
            case "neighbouring":
                at = chance.randint(first, last)
                return spread, (Range(at, chance.randint(1, min(40, last - at + 1))),)
            case "scattered":
                return spread, ranges_of(chance.sample(range(first, last + 1), chance.randint(1, 12)))
            case "word borders":
                borders = [goods_id for goods_id in range(first, last + 1) if goods_id % 8 in (0, 7)]
                return spread, ranges_of(chance.sample(borders, chance.randint(1, 8)))
            case "lanes":
                word = chance.randint(first // 8 + 1, last // 8 - 1) * 8
                return spread, tuple(Range(word + lane, 1) for lane in range(8) if chance.random() < 0.6) or (
                    Range(word, 8),
                )
            case "odd":
                spans = [
                    Range(chance.randint(first, last), chance.choice([0, 1, 2, 9])) for _ in range(chance.randint(0, 3))
                ]
                return spread, tuple(spans)
            case "id limits":
                ends = [0, 1, GOODS_ID_MAX - 7, GOODS_ID_MAX, GOODS_ID_MAX + 1, 2**32 - 1]
                counts = [0, 1, 2, 7, 8, 2**31, 2**32 - 1]
                return spread, tuple(
                    Range(at, chance.choice(counts)) for at in sorted(chance.sample(ends, chance.randint(1, 3)))
                )
        at = chance.randint(first, last - 12)
        spans = [Range(at, chance.randint(2, 8)), Range(at + chance.randint(0, 4), chance.randint(1, 8))]
        return spread, tuple(chance.sample(spans, 2))

    def _change_rights(self) -> None:
        actor, rights = self._random.randint(1, ACTORS), Rights(self._random.choice([7, 7, 7, 7, 7, 7, 3, 5, 1, 6, 0]))
        outcome = self._ledger.send(contract.set_rights_data(actor, rights), REGISTRAR)
        if outcome.error is not None:
            raise Difference(f"setRights({actor}, {rights}): {outcome.error}")
        self._rights[actor] = rights

    def _age(self) -> None:
        """A run of goods near the end of what others may examine, or of what can be counted."""
        chance = self._random
        first = chance.randint(self._region, self._region + REGION_GOODS - 9)
        holder = chance.randint(1, ACTORS)
        for goods_id in range(first, first + chance.randint(1, 9)):
            times = chance.choice([EXAM_TIMES_MAX, TIMES_MAX]) - chance.randint(0, 2)
            self._ledger.poke_goods(goods_id, holder, times)
            self._goods[goods_id] = GoodsState(holder, times)

    # What must come of it

    def _hold_against(self, batch: Batch) -> str:
        circ = batch.circ
        expected, after = self._foresee(batch)
        outcome = self._ledger.circulate(circ, self._sign(batch))
        if outcome.error != expected:
            raise Difference(f"the contract says {outcome.error}, the rules say {expected}")
        events = outcome.events
        if events != ([] if expected else [contract.Circulated(circ)]):
            raise Difference(f"the contract emits {events}")
        self._goods.update(after)
        for word in {goods_id // 8 + near for goods_id in _some_ids(circ.goods) for near in (-1, 0, 1)}:
            if 0 <= word < 2**28:
                self._compare(word)
        return expected.partition("(")[0] if expected else "taken"

    def _foresee(self, batch: Batch) -> tuple[str | None, dict[int, GoodsState]]:
        circ = batch.circ
        try:
            custody.check_goods(circ.goods)
            custody.check_parties(circ.circ_type, circ.operator, circ.to, self._rights)
            if batch.signature != "right":
                account = address_of(self._ledger.key(circ.operator))
                return f"BadSignature(actor={circ.operator}, account={account})", {}
            return None, custody.apply(circ, self._goods, self._rights)
        except CustodyError as refusal:
            return str(refusal), {}

    def _sign(self, batch: Batch) -> bytes:
        chance, circ = self._random, batch.circ
        signature = self._ledger.sign(circ)
        match batch.signature:
            case "another's":
                return self._ledger.sign(circ, key_of(ACTORS + 7))
            case "of another circ":
                other = Circ(circ.goods, circ.circ_type, circ.operator, circ.to, bytes(32), circ.version)
                return self._ledger.sign(other)
            case "changed":
                place = chance.randrange(len(signature))
                return signature[:place] + bytes([signature[place] ^ 1 << chance.randrange(8)]) + signature[place + 1 :]
            case "mirrored":
                # The other point of the curve that the same key could have signed with: refused, so that a circ has
                # one signature.
                mirrored = SECP256K1_N - int.from_bytes(signature[32:64], "big")
                return signature[:32] + mirrored.to_bytes(32, "big") + bytes([55 - signature[64]])
            case "short":
                return signature[: chance.choice([0, 1, 64])]
        return signature

    def _compare(self, word: int) -> None:
        found = self._ledger.word(word)
        expected = 0
        for lane in range(8):
            state = self._state(word * 8 + lane)
            expected |= (state.times << 20 | state.holder) << 32 * lane
        if found != expected:
            raise Difference(f"word {word} is 0x{found:064x}, the rules say 0x{expected:064x}")

    def _state(self, goods_id: int) -> GoodsState:
        return self._goods.get(goods_id, custody.UNHELD)


def _some_ids(goods: Sequence[Range]) -> Iterator[int]:
    """The goods of ranges that keep the bounds; of others the first few."""
    for span in goods:
        yield from range(span.first, span.first + min(span.count, SHOWN_MAX))


def play_episode(seed: int, number: int, batches: int) -> Counter[tuple[str, str]]:
    """One episode; a Difference says how to play it again."""
    try:
        return Episode(seed, number).play(batches)
    except Difference as difference:
        raise Difference(f"seed {seed}, episode {number}, {difference}") from None


def episodes(batches: int) -> list[tuple[int, int]]:
    """The number and the length of each episode that so many batches make."""
    full, rest = divmod(batches, EPISODE_BATCHES)
    return [(number, EPISODE_BATCHES) for number in range(full)] + ([(full, rest)] if rest else [])


def play(seed: int, batches: int, jobs: int) -> Iterable[tuple[int, Counter[tuple[str, str]]]]:
    """Play all episodes, ``jobs`` at once; of each its length and what came of it."""
    with ProcessPoolExecutor(jobs) as pool:
        played = [(length, pool.submit(play_episode, seed, number, length)) for number, length in episodes(batches)]
        try:
            for length, future in played:
                yield length, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=100_000, metavar="N", help="how many (default 100,000)")
    parser.add_argument("--seed", type=int, default=int(time.time()), metavar="N", help="default: another each time")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: cores)")
    options = parser.parse_args(arguments)
    if options.batches < 1 or options.jobs < 1:
        parser.error("--batches and --jobs must be at least 1")
    seen: Counter[tuple[str, str]] = Counter()
    began = time.monotonic()
    try:
        with Progress(console=Console(stderr=True)) as progress:
            task = progress.add_task(f"seed {options.seed}", total=options.batches)
            for length, counted in play(options.seed, options.batches, options.jobs):
                seen.update(counted)
                progress.advance(task, length)
    except Difference as difference:
        print(f"fuzz: {difference}", file=sys.stderr)
        return 1
    seconds = time.monotonic() - began
    table = Table("what", "which", "batches")
    for (what, which), count in sorted(seen.items(), key=lambda found: (found[0][0], -found[1])):
        table.add_row(what, which, f"{count:,}")
    Console().print(table)
    rate = options.batches / seconds
    print(f"fuzz: {options.batches:,} batches, seed {options.seed}, {seconds:.0f} s, {rate:.0f}/s, 0 differences")
    return 0


if __name__ == "__main__":
    sys.exit(main())
