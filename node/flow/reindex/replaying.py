"""Step 2: the contract's events, played again into the new index."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat, takewhile

from node.chain import contract
from node.chain.history import Entry, History
from node.domain.model import CircStatus
from node.domain.records import TxKind, TxState
from node.domain.replay import RegisteredActor, Replay
from node.flow.reindex.ahead import ahead
from node.flow.reindex.transactions import state_at
from node.store.rebuild import ChainCirc, Mined, Rebuild


@dataclass(slots=True)
class Played:
    """What the chain says. ``registered_in`` has each actor's transaction."""

    replay: Replay = field(default_factory=Replay)
    registered_in: dict[int, str] = field(default_factory=dict)
    circs: int = 0


def play(
    new: Rebuild, history: History, first: int, last: int, confirmations: int, tell: Callable[[int], None]
) -> Played:
    """Play blocks ``first`` to ``last``. Unexplained where an event does not follow from those before it."""
    played = Played()
    found = history.entries(first, last, tell)
    for entries in takewhile(lambda some: some is not None, ahead(repeat(lambda: next(found, None)))):
        assert entries is not None
        circs: list[tuple[ChainCirc, Mined]] = []
        for entry in entries:
            state = state_at(entry.block_number, last, confirmations)
            mined = Mined(state, entry.block_number, entry.block_hash, entry.tx_hash)
            if isinstance(entry.event, contract.Circulated):
                circs.append((_circ(played.replay, entry.event, is_deep=state is TxState.FINAL), mined))
            else:
                _learn(played, entry, new, mined)
        new.circs.add_mined(circs)
        played.circs += len(circs)
    return played


def _circ(replay: Replay, event: contract.Circulated, *, is_deep: bool) -> ChainCirc:
    circ = event.circ
    status = CircStatus.SUCCESS if is_deep else CircStatus.PENDING
    return ChainCirc(int(circ.circ_type), circ.operator, circ.to, circ.form_digest, status, replay.take(circ))


def _learn(played: Played, entry: Entry, new: Rebuild, mined: Mined) -> None:
    """Actors, and the transactions about them."""
    match entry.event:
        case contract.ActorRegistered(actor, account, rights, name_digest):
            played.replay.register(RegisteredActor(actor, account, rights, name_digest))
            played.registered_in[actor] = entry.tx_hash
            new.transactions.mark_hash(TxKind.REGISTER_ACTOR, mined)
        case contract.AccountChanged(actor, account, sovereign):
            played.replay.change_account(actor, account, sovereign)
        case contract.RightsChanged(actor, rights):
            played.replay.change_rights(actor, rights)
            new.transactions.mark_hash(TxKind.SET_RIGHTS, mined)
