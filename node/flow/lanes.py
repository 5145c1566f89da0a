"""The node's signers. Each is a lane: its transactions reach the chain in the order of their nonces.

What stands on a transaction that is not finished goes into that one's lane, so the order holds whatever dies. Only
what stands on unfinished transactions of several lanes has to wait for the others.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from node.chain import signer
from node.chain.signer import HeldKey, Signatory
from node.domain.records import UNFINISHED
from node.errors import SetupError
from node.store import keys, outbox, progress
from node.store.db import Store
from node.store.seal import Seal

LANES_MAX = 64
FIRST_KEY = "signer"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction goes: its signer, and the transactions of other lanes that must be finished before."""

    signer: str
    waits_for: tuple[int, ...] = ()


class Lanes:
    """The open lanes, which take new transactions, and the keys of all that ever signed.

    The first lane is the registrar's: deployment and actors go there. ``low`` are lanes without funds for another
    transaction, which the confirmer finds out; they take new ones only if all are low.
    """

    def __init__(self, signers: Sequence[Signatory], retired: Sequence[Signatory] = ()) -> None:
        self.open = tuple(each.account for each in signers)
        self._keys = {each.account: each for each in (*retired, *signers)}
        self._turn = itertools.count()
        self.low: frozenset[str] = frozenset()

    @property
    def registrar(self) -> str:
        """The first lane's signer."""
        return self.open[0]

    def key(self, address: str) -> Signatory:
        """Who signs for a signer's address."""
        return self._keys[address]

    @property
    def all(self) -> tuple[str, ...]:
        """Every signer, the open ones first."""
        return (*self.open, *sorted(self._keys.keys() - set(self.open)))

    @property
    def is_one(self) -> bool:
        """Whether there is one signer only, so that nonces alone keep the order."""
        return len(self._keys) == 1

    def place(self, stands_on: Collection[int]) -> Place:
        """The lane for a transaction that stands on others (inside ``Store.write()``)."""
        unfinished = outbox.unfinished(stands_on)
        if not unfinished:
            return Place(self._next())
        _, lane = unfinished[-1]
        if lane not in self.open:
            lane = self._next()
        return Place(lane, tuple(tx_id for tx_id, other in unfinished if other != lane))

    def place_of_registrar(self, stands_on: Collection[int]) -> Place:
        """The first lane, for a transaction that stands on others (inside ``Store.write()``)."""
        unfinished = outbox.unfinished(stands_on)
        return Place(self.registrar, tuple(tx_id for tx_id, other in unfinished if other != self.registrar))

    def _next(self) -> str:
        funded = [address for address in self.open if address not in self.low] or list(self.open)
        return funded[next(self._turn) % len(funded)]


def open_lanes(store: Store, seal: Seal, given: Sequence[bytes], total: int) -> Lanes:
    """``total`` lanes: the keys given, in their order, and for the others keys that are made at first need.

    A key stays the same once its lane has signed.
    """
    with store.write():
        has_place = "contract" in store.settings()
        opened = [HeldKey(_lane_key(seal, place, given, has_place)) for place in range(total)]
    retired = _held(seal, total)
    addresses = [each.account for each in (*opened, *retired)]
    if len(set(addresses)) < len(addresses):
        raise SetupError("two lanes have the same key: name each key once (--signer-key)")
    return Lanes(opened, retired)


def open_remote_lanes(seal: Seal, remote: Mapping[str, Signatory], total: int) -> Lanes:
    """``total`` lanes whose keys a signing service keeps.

    Lanes that signed before come first, in their order, then others by their addresses; so a lane stays the same while
    keys are added. What the data directory's own keys once signed can still be signed again with higher fees.
    """
    before = [lane.signer for lane in progress.lanes()]
    known = [address for address in before if address in remote]
    ordered = [*known, *sorted(remote.keys() - set(known))]
    if len(ordered) < total:
        raise SetupError(f"--signers {total}: the signing service has {len(ordered)} keys: add keys, or say fewer")
    opened = [remote[address] for address in ordered[:total]]
    retired = [remote[address] for address in known if address not in ordered[:total]]
    retired += [held for held in _held(seal, 0) if held.account not in remote]
    signing = {each.account for each in (*opened, *retired)}
    lost = [lane for lane in outbox.lanes_with(UNFINISHED) if lane not in signing]
    if lost:
        raise SetupError(f"signer {lost[0]} has transactions on their way: add its key to the signing service")
    return Lanes(opened, retired)


def _held(seal: Seal, first: int) -> list[Signatory]:
    """The data directory's own keys of lanes, from one place on."""
    found: list[Signatory] = []
    for place in range(first, LANES_MAX):
        key = keys.known_key(seal, key_name(place))
        if key is None:
            break
        found.append(HeldKey(key))
    return found


def _lane_key(seal: Seal, place: int, given: Sequence[bytes], has_place: bool) -> bytes:
    wanted = given[place] if place < len(given) else None
    known = keys.known_key(seal, key_name(place))
    if known is not None and wanted is not None and known != wanted:
        has_signed = has_place if place == 0 else outbox.next_nonce(signer.address_of(known)) is not None
        if has_signed:
            raise SetupError(
                f"this data directory's signer is {signer.address_of(known)}, but the key given is of "
                f"{signer.address_of(wanted)}: name the first one, or none (--signer-key)"
            )
        known = None
    if known is not None:
        return known
    key = wanted if wanted is not None else signer.new_key()
    keys.keep_key(seal, key_name(place), key)
    return key


def key_name(place: int) -> str:
    """What the key of a lane is called in the index."""
    return FIRST_KEY if place == 0 else f"{FIRST_KEY} {place + 1}"
