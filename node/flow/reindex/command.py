"""The whole of it: an index built beside the old one, and then put into its place or held against it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from node.chain import contract, signer
from node.chain.history import History
from node.chain.rpc import ChainUnavailable
from node.chain.transport import JsonRpc
from node.clock import Clock, now_micros
from node.domain.limits import DEPLOYMENT_WAIT_MICROS
from node.domain.records import TxKind
from node.domain.replay import Unexplained
from node.errors import SetupError
from node.flow.lanes import key_name
from node.flow.reindex import forms, people, products, transactions
from node.flow.reindex.replaying import Played, play
from node.flow.reindex.waiting import Waiting
from node.store.db import hold_against
from node.store.rebuild import Difference, Mined, OldIndex, Places, Rebuild, compare, put_in_place
from node.store.seal import Seal


class NotPossible(Exception):
    """The index could not be built; nothing was changed. The message says why."""


class Stage(StrEnum):
    """What goes on."""

    COPY = "copying the old index"
    PLAY = "reading the chain"
    FETCH = "fetching transactions"
    FORMS = "looking for forms"


Tell = Callable[[Stage, int, int | None], None]
"""Hears the stage, what is done of it and how much it is, if that is known."""


@dataclass(slots=True)
class Outcome:
    """What an index that was built holds. ``notes`` tells of damage that was mended, ``lost`` of what was not."""

    block: int = 0
    circs: int = 0
    goods: int = 0
    actors: int = 0
    pending: int = 0
    failed: int = 0
    missing_forms: int = 0
    notes: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether everything could be had."""
        return not self.lost and not self.missing_forms


@dataclass(frozen=True, slots=True)
class Given:
    """What the command was told. ``seal`` opens the master key; it is only asked for with a signer's key.

    ``keys_elsewhere``: a signing service has the signers' keys. ``may_drop``: a transaction of the old index that was
    never mined, and whose nonce another one took, is given up; else the index is not built.
    """

    confirmations: int
    seal: Callable[[], Seal]
    contract: str | None = None
    signer_keys: Sequence[bytes] = ()
    exports: Sequence[Path] = ()
    keys_elsewhere: bool = False
    may_drop: bool = True


class Reindex:
    """Builds an index."""

    def __init__(
        self,
        index: Path,
        rpc: JsonRpc,
        sources: list[forms.Source],
        given: Given,
        tell: Tell = lambda _stage, _done, _total: None,
        clock: Clock = now_micros,
    ) -> None:
        self._places = Places(index)
        self._rpc = rpc
        self._sources = sources
        self._given = given
        self._tell = tell
        self._clock = clock

    def run(self) -> Outcome:
        """Build the index and put it into place. NotPossible or SetupError leave the old one as it was."""
        with self._open() as (old, new):
            outcome = self._build(old, new, to_stay=True)
            new.finish()
            put_in_place(old, self._places)
            return outcome

    def check(self, limit: int) -> tuple[Outcome, list[Difference]]:
        """What the present index says otherwise than the chain, ``limit`` differences at most. Changes nothing."""
        with self._open() as (old, new):
            if not self._places.index.exists():
                raise SetupError(f"{self._places.index}: there is no index; leave --check away to build one")
            old.check()
            outcome = self._build(old, new, to_stay=False)
            found = [Difference("index", text) for text in old.damage]
            try:
                for difference in compare(new.db, self._places.index):
                    found.append(difference)
                    if len(found) >= limit:
                        break
            except sqlite3.DatabaseError as fault:
                found.append(Difference("index", f"can't be read: {fault}"))
            return outcome, found

    @contextmanager
    def _open(self) -> Iterator[tuple[OldIndex, Rebuild]]:
        old = OldIndex(self._places.index)
        try:
            new = Rebuild(self._places)
            try:
                yield old, new
            finally:
                new.close()
                self._places.clear()
        except (ChainUnavailable, Unexplained) as fault:
            raise NotPossible(str(fault)) from fault
        except sqlite3.Error as fault:
            raise NotPossible(f"{self._places.new}: {fault}") from fault
        finally:
            old.close()

    def _build(self, old: OldIndex, new: Rebuild, *, to_stay: bool) -> Outcome:
        outcome = Outcome()
        new.copy(old, lambda done: self._tell(Stage.COPY, done, None))
        outcome.notes += [f"the old index is damaged, {text}" for text in old.damage]
        for path in self._given.exports:
            new.know_forms(forms.read_export(path))
        transactions.examine(new, outcome.notes.append)
        history, head, first = self._find(new)
        if to_stay:
            self._keep_signer(new)
        played = self._play(new, history, first, head)
        self._complete(new, history, outcome)
        transactions.complete_nonces(new, history, self._signers(new), head)
        waiting = Waiting(new, history, played.replay, head, self._given.confirmations)
        waiting.settle(people.expected(new, played))
        if waiting.failed:
            new.circs.put_failed_in_order()
        self._date(new, history, first)
        outcome.missing_forms = forms.attach(new, self._sources, lambda done: self._tell(Stage.FORMS, done, None))
        if erased := new.circs.erased():
            outcome.notes.append(f"private forms that were forgotten on purpose, and stay so: {erased}")
        outcome.notes += [f"{place.name} could not be asked: {place.silent}" for place in self._sources if place.silent]
        people.place(new, played, waiting, outcome.notes.append, outcome.lost.append)
        products.place(new, played.replay.goods, outcome.lost.append)
        new.circs.mark_last()
        new.circs.publish()
        outcome.lost += new.faults()
        outcome.block, outcome.circs, outcome.actors = head, played.circs, len(played.replay.actors)
        outcome.goods, outcome.pending, outcome.failed = len(played.replay.goods), waiting.pending, waiting.failed
        return outcome

    def _find(self, new: Rebuild) -> tuple[History, int, int]:
        """The contract on the chain, the newest block, and the block that made the contract."""
        known = new.settings()
        address = known.get("contract") or self._given.contract
        if address is None:
            raise NotPossible("the old index does not say which contract is its own: name it (--contract 0x…)")
        if self._given.contract not in (None, address):
            raise NotPossible(f"--contract {self._given.contract}: the index belongs to contract {address}")
        history = History(self._rpc, address)
        chain = history.chain
        chain_id, genesis, head = chain.chain_id(), chain.block(0), chain.head().number
        if genesis is None:
            raise NotPossible(f"chain {chain_id} has no block 0: it is not ready yet, or not an EVM chain")
        hold_against(known, {"chain_id": str(chain_id), "genesis": genesis.hash})
        code = chain.code(address)
        if not contract.code_matches(code, chain_id, address):
            raise NotPossible(f"the code at {address} is not this version's contract (chain {chain_id}, block {head})")
        rows = new.transactions.of_kind(TxKind.DEPLOY)
        first = history.first_block(rows[0] if rows else None, head)
        deployment = history.deployment(first)
        if deployment is not None:
            mined = Mined(transactions.state_at(first, head, self._given.confirmations), first, *reversed(deployment))
            new.transactions.mark_hash(TxKind.DEPLOY, mined)
        if "signer" not in known:
            if deployment is None:
                raise NotPossible(f"who made the contract {address} can't be found out from this endpoint")
            (signed,) = history.transactions([deployment[0]])
            known["signer"] = signed.sender
        new.set_settings({**known, "chain_id": str(chain_id), "genesis": genesis.hash, "contract": address})
        return history, head, first

    def _signers(self, new: Rebuild) -> set[str]:
        """The accounts that sign the node's transactions."""
        return new.signers() | {signer.address_of(key) for key in self._given.signer_keys}

    def _keep_signer(self, new: Rebuild) -> None:
        """The node must be able to go on: without its signer's key no index is of use."""
        keys, address = self._given.signer_keys, new.settings()["signer"]
        if keys and signer.address_of(keys[0]) != address:
            raise NotPossible(f"--signer-key is of {signer.address_of(keys[0])}, the contract's signer is {address}")
        if self._given.keys_elsewhere or key_name(0) in new.sealed_keys():
            return
        if not keys:
            raise NotPossible(
                f"THE KEY OF THE SIGNER {address} IS LOST with the old index: without it no node can go on with this "
                "contract; name the file that has it (--signer-key)"
            )
        seal = self._given.seal()
        for place, key in enumerate(keys):
            new.keep_key(key_name(place), seal.close(key_name(place), key))

    def _play(self, new: Rebuild, history: History, first: int, head: int) -> Played:
        total = head - first + 1
        tell = self._tell
        return play(new, history, first, head, self._given.confirmations, lambda done: tell(Stage.PLAY, done, total))

    def _complete(self, new: Rebuild, history: History, outcome: Outcome) -> None:
        """What the old outbox lacks."""
        total, tell = new.transactions.lacking_total(), self._tell

        def drop(outbox_id: int, told: str) -> None:
            if not self._given.may_drop:
                raise NotPossible(f"{told}; two data directories have signed with this key, and this is not the one")
            outcome.notes.append(told)
            new.transactions.drop(outbox_id)

        transactions.fetch(new, history, drop, lambda done: tell(Stage.FETCH, done, total))

    def _date(self, new: Rebuild, history: History, first: int) -> None:
        """When the circs were recorded, as far as the old index knows it and can be right."""
        for blocks in new.times.blocks():
            new.times.know(zip(blocks, history.timestamps(blocks), strict=True))
        (began,) = history.timestamps([first])
        new.times.settle(began * 1_000_000 - DEPLOYMENT_WAIT_MICROS, self._clock())
