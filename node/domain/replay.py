"""The contract's events, played again: from what it took follows who holds the goods and what each circ found.

The events are given in the chain's order. The contract emits none that breaks its rules, so an event that does means
that others before it are missing. Memory: four bytes a goods where ids are neighbours.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from node.domain import custody
from node.domain.custody import UNHELD, GoodsState
from node.domain.model import ACTOR_MAX, Circ, Rights, ids_of

_TIMES_BITS = 12
_TIMES_MASK = (1 << _TIMES_BITS) - 1
_PAGE_BITS = 10
_PAGE = 1 << _PAGE_BITS


class Unexplained(ValueError):
    """An event that does not follow from those before it; the message says why."""


@dataclass(frozen=True, slots=True)
class RegisteredActor:
    """An actor as the last event about it left it."""

    id: int
    account: str
    rights: Rights
    name_digest: bytes
    sovereign: bool = False


class Holdings(Mapping[int, GoodsState]):
    """Holder and times of every goods that some circ has named, packed as the contract packs them."""

    def __init__(self) -> None:
        self._pages: dict[int, array[int]] = {}

    def __getitem__(self, goods_id: int) -> GoodsState:
        found = self.get(goods_id, UNHELD)
        if found is UNHELD:
            raise KeyError(goods_id)
        return found

    def get(self, goods_id: int, default: GoodsState = UNHELD) -> GoodsState:  # type: ignore[override]
        """The state of one goods."""
        page = self._pages.get(goods_id >> _PAGE_BITS)
        packed = page[goods_id & (_PAGE - 1)] if page is not None else 0
        return _state(packed) if packed else default

    def __iter__(self) -> Iterator[int]:
        for number in sorted(self._pages):
            first = number << _PAGE_BITS
            yield from (first + place for place, packed in enumerate(self._pages[number]) if packed)

    def __len__(self) -> int:
        return sum(len(page) - page.count(0) for page in self._pages.values())

    def update(self, states: Mapping[int, GoodsState]) -> None:
        """Give goods new states."""
        for goods_id, state in states.items():
            page = self._pages.get(goods_id >> _PAGE_BITS)
            if page is None:
                page = self._pages[goods_id >> _PAGE_BITS] = array("I", bytes(4 * _PAGE))
            page[goods_id & (_PAGE - 1)] = state.holder << _TIMES_BITS | state.times


@lru_cache(maxsize=65_536)
def _state(packed: int) -> GoodsState:
    return GoodsState(packed >> _TIMES_BITS, packed & _TIMES_MASK)


class Replay:
    """Actors and goods after the events so far."""

    def __init__(self) -> None:
        self.goods = Holdings()
        self.actors: dict[int, RegisteredActor] = {}
        self._rights: dict[int, Rights] = {}

    def register(self, actor: RegisteredActor) -> None:
        """An actor was registered."""
        if actor.id in self.actors or not 1 <= actor.id <= ACTOR_MAX:
            raise Unexplained(f"actor {actor.id} is registered, which can't be")
        self.actors[actor.id] = actor
        self._rights[actor.id] = actor.rights

    def change_account(self, actor: int, account: str, sovereign: bool) -> None:
        """Another account speaks for an actor."""
        self.actors[actor] = replace(self._known(actor), account=account, sovereign=sovereign)

    def change_rights(self, actor: int, rights: Rights) -> None:
        """The rights of an actor were replaced."""
        self.actors[actor] = replace(self._known(actor), rights=rights)
        self._rights[actor] = rights

    def take(self, circ: Circ) -> list[tuple[int, int]]:
        """A circ was taken: its goods, each with the number of circs that it had before."""
        try:
            after = custody.apply(circ, self.goods, self._rights)
        except custody.CustodyError as fault:
            raise Unexplained(f"a circ of goods {ids_of(circ.goods[:1])[:1]} can't be: {fault}") from fault
        self.goods.update(after)
        return [(goods_id, state.times - 1) for goods_id, state in after.items()]

    def _known(self, actor: int) -> RegisteredActor:
        if actor not in self.actors:
            raise Unexplained(f"actor {actor} is changed, but was never registered")
        return self.actors[actor]
