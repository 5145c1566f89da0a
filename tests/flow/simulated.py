"""A node's flow on the simulator, without threads or waiting: the test decides who steps, and what time it is."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from node.chain import contract, signer
from node.chain.rpc import Chain, ChainUnavailable
from node.domain import custody
from node.domain.custody import UNHELD, GoodsState
from node.domain.form import form_digest
from node.domain.model import Circ, CircStatus, CircType, Rights, ids_of
from node.domain.records import TxState, User
from node.domain.roles import Role
from node.flow import outcomes
from node.flow.actors import Actors
from node.flow.bump import Bumper
from node.flow.confirm import Confirmer
from node.flow.goods import Products
from node.flow.lanes import open_lanes
from node.flow.ledger import Ledger, open_ledger
from node.flow.nudge import Nudger
from node.flow.record import Recorded, Recorder
from node.flow.submit import Sender
from node.flow.worker import TryLater
from node.store import circs, people, products
from node.store import sqlite as index
from node.store import tables as t
from node.store.db import Store
from node.store.seal import KEY_BYTES, Seal
from tests.chain.servers import RICH_WEI
from tests.simulator.chain import Simulator
from tests.simulator.ledger import Block, Market, Tx
from tests.simulator.programs import VTrace

CONFIRMATIONS = 3
BUMP_SECONDS = 15.0
NOW = 1_760_000_000_000_000
STEPS_MAX = 100
"""How many rounds everything takes at most until it is quiet, once nothing is wrong any more."""
ROUND_SECONDS = 6.0
ROLES = (Role.BOSS, Role.BOSS, Role.TRANSPORTER, Role.EXAMINER)
"""Of the users 1, 2 … of a fresh index; each boss has an org, and the serial of its own number."""


class Ticker:
    """The time that the flow sees, in place of the module ``time``."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._patched = [
            module
            for name, module in sys.modules.items()
            if name.startswith("node.flow.") and getattr(module, "time", None) is time
        ]
        for module in self._patched:
            module.time = self  # type: ignore[attr-defined]

    def monotonic(self) -> float:
        return self.seconds

    def restore(self) -> None:
        for module in self._patched:
            module.time = time  # type: ignore[attr-defined]


@dataclass
class Flow:
    """What a node does between its API and the chain."""

    ledger: Ledger
    actors: Actors
    recorder: Recorder
    products: Products
    sender: Sender
    confirmer: Confirmer
    nudger: Nudger


def put_together(store: Store, chain: Chain, seal: Seal, signer_keys: Sequence[bytes]) -> Flow:
    """As node/app.py does it at a start."""

    def clock() -> int:
        return NOW

    def nobody() -> None:
        """Threads are told of what there is to do; here the test decides."""

    lanes = open_lanes(store, seal, signer_keys, len(signer_keys))
    ledger = open_ledger(store, chain, lanes, clock, backlog_max=1_000_000)
    bumper = Bumper(store, ledger)
    actors = Actors(ledger, seal)
    recorder = Recorder(store, ledger, actors, clock, nobody)
    sender = Sender(store, chain, ledger, bumper)
    sender.resume()
    return Flow(
        ledger,
        actors,
        recorder,
        Products(store, recorder, clock, nobody),
        sender,
        Confirmer(store, chain, ledger, confirmations=CONFIRMATIONS, resend=nobody),
        Nudger(store, chain, ledger, bumper, bump_seconds=BUMP_SECONDS, fee_max=None, resend=nobody),
    )


@cache
def _fresh_index() -> Path:
    """An index with users, orgs and serials, to be copied."""
    folder = tempfile.TemporaryDirectory(prefix="vtrace-machine-")
    _KEPT.append(folder)
    path = Path(folder.name) / "index.sqlite3"
    store = Store(path)
    try:
        with store.write():
            for number, role in enumerate(ROLES, 1):
                user = people.add_user(username=f"user{number}", nickname="n", role=role, password_hash="", now=NOW)
                if role is Role.BOSS:
                    org = people.add_org(
                        name="o",
                        code=str(number),
                        info=b"",
                        owner_id=user.id,
                        now=NOW,
                    )
                    people.change_user(user.id, org=org.id)
                    class_id = products.add_class(
                        name="k",
                        description=b"",
                        trademark="",
                        material_id=0,
                        state="s",
                        org_id=org.id,
                        creator_id=user.id,
                        now=NOW,
                    )
                    products.add_serial(class_id=class_id, product_time=NOW, state="s", creator_id=user.id, now=NOW)
    finally:
        store.close()
    return path


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


class World:
    """A node on a simulator. ``told`` is what callers were answered: of each goods its trans_ids, in order.

    ``honest``: nobody else writes to the contract, so that nothing may fail.
    """

    def __init__(self, simulator: Simulator, *, lanes: int = 1, honest: bool = True) -> None:
        fresh = _fresh_index()
        self._folder = tempfile.TemporaryDirectory(prefix="vtrace-machine-")
        self._path = Path(self._folder.name) / "index.sqlite3"
        shutil.copy(fresh, self._path)
        # Every death here is only played, so nothing has to reach the disk.
        self._synchronous = index.PRAGMAS["synchronous"]
        index.PRAGMAS["synchronous"] = "off"
        # Few circs as they are here, most of them are to be settled by their events, as many would be.
        self._circs_min = outcomes.CIRCS_MIN
        outcomes.CIRCS_MIN = 2
        self.clock = Ticker()
        self.simulator = simulator
        simulator.automine = False
        self.chain = Chain(simulator)
        self._seal = Seal(b"\7" * KEY_BYTES)
        self._keys = [signer.new_key() for _ in range(lanes)]
        for key in self._keys:
            simulator.ledger.fund(signer.address_of(key), RICH_WEI)
        self.store = Store(self._path)
        try:
            self.flow = put_together(self.store, self.chain, self._seal, self._keys)
        except BaseException:
            self.close()
            raise
        self.told: dict[int, list[str]] = {}
        self.waits: str | None = None
        self._honest = honest
        self.is_shaken = False
        """Whether a fork took out what was final, and the index may not know yet."""
        self._known: dict[bytes, tuple[str | None, bytes]] = {}

    def close(self) -> None:
        self.store.close()
        self.clock.restore()
        index.PRAGMAS["synchronous"] = self._synchronous
        outcomes.CIRCS_MIN = self._circs_min
        self._folder.cleanup()

    # --- what callers and the node do

    def user(self, number: int) -> User:
        found = people.user(number)
        assert found is not None
        return found

    def produce(self, number: int, total: int) -> list[int]:
        """Goods of user ``number``, with their circ."""
        ids = self.flow.products.create_goods(self.user(number), number, total)
        for goods_id in ids:
            self.told[goods_id] = [record.trans_id for record in circs.history(goods_id)]
        return ids

    def record(self, number: int, circ_type: CircType, goods: Sequence[int], to: str = "") -> list[Recorded]:
        recorded = self.flow.recorder.create(self.user(number), circ_type, sorted(goods), to, b"{}")
        for one in recorded:
            for goods_id in one.goods_ids:
                self.told[goods_id].append(one.trans_id)
        return recorded

    def held_by(self, number: int) -> set[int]:
        """The goods that the index says are a user's."""
        found = circs.actor_of(number)
        if found is None:
            return set()
        states = circs.custody(sorted(self.told))
        return {goods_id for goods_id, (state, _) in states.items() if state.holder == found[0].id}

    def change_role(self, number: int, role: Role) -> None:
        with self.store.write():
            self.flow.actors.keep_in_step(people.change_user(number, role=role.value))

    def send(self) -> bool:
        return self._step(self.flow.sender.step)

    def confirm(self) -> bool:
        return self._step(self.flow.confirmer.step)

    def nudge(self) -> bool:
        return self._step(self.flow.nudger.step)

    def _step(self, step: object) -> bool:
        self.waits = None
        try:
            return step()  # type: ignore[operator,no-any-return]
        except (ChainUnavailable, TryLater) as fault:
            self.waits = str(fault)
            return False

    def restart(self) -> None:
        """The process dies and starts again."""
        self.store.close()
        self.store = Store(self._path)
        self.flow = put_together(self.store, self.chain, self._seal, self._keys)

    def settle(self) -> None:
        """Nothing is wrong any more: let everybody make steps until all is final."""
        self.simulator.heal()
        if self.simulator.market is Market.FEES:
            self.simulator.ledger.base_fee = 10**9
        for _ in range(STEPS_MAX):
            self.send()
            self.nudge()
            self.confirm()
            if self.is_quiet():
                self.is_shaken = False
                return
            self.simulator.ledger.mine()
            self.clock.seconds += ROUND_SECONDS
        raise AssertionError(f"not settled after {STEPS_MAX} rounds: {self.waits or self.states()}")

    # --- what is so

    def states(self) -> list[tuple[int, str]]:
        """Nonce and state of every transaction."""
        rows = t.tuples(t.Outbox.select(t.Outbox.nonce, t.Outbox.state).order_by(t.Outbox.id))
        return [(nonce, state) for nonce, state in rows]

    def is_quiet(self) -> bool:
        ends = {TxState.FINAL.value, TxState.REVERTED.value}
        return all(state in ends for _, state in self.states())

    def program(self) -> VTrace | None:
        """The contract at the head."""
        found = self.simulator.ledger.head.state.programs.get(self.flow.ledger.contract)
        assert found is None or isinstance(found, VTrace)
        return found

    def replay(self) -> Replay:
        """What the canonical chain's events say, held to the rules of custody one by one."""
        found = Replay({}, {}, [])
        for block in self.simulator.ledger.canonical:
            for tx, outcome in zip(block.txs, block.outcomes, strict=True):
                for address, event in outcome.logs:
                    if address == self.flow.ledger.contract:
                        found.take(contract.decode_log(event.topics, event.data), tx, block)
        return found

    def check(self) -> None:
        """What is so at any time on an honest chain, however badly it is reached."""
        self._check_nonces()
        replay, program = self.replay(), self.program()
        assert replay.goods == (program.goods if program else {}), "the chain's own books differ"
        by_goods: dict[int, list[bytes]] = {}
        for circ, _, _ in replay.taken:
            for goods_id in ids_of(circ.goods):
                by_goods.setdefault(goods_id, []).append(circ.form_digest)
        height = self.simulator.ledger.head.number
        safe = {circ.form_digest for circ, _, block in replay.taken if height - block.number + 1 >= CONFIRMATIONS}
        assert len({circ.form_digest for circ, _, _ in replay.taken}) == len(replay.taken), "a circ was taken twice"
        shown = _all_circs()
        assert shown.keys() == self.told.keys()
        for goods_id, told in self.told.items():
            self._check_goods(goods_id, told, shown[goods_id], by_goods.get(goods_id, []), safe)

    def _check_goods(
        self, goods_id: int, told: list[str], shown: list[Shown], on_chain: list[bytes], safe: set[bytes]
    ) -> None:
        assert [record.trans_id for record in shown] == told, f"goods {goods_id}: an answered circ is lost"
        if self._honest:
            assert CircStatus.FAILED not in {record.status for record in shown}, f"goods {goods_id}: failed"
        valid = [record for record in shown if record.status is not CircStatus.FAILED]
        assert [record.times for record in valid] == list(range(len(valid)))
        digests = [record.digest for record in shown]
        if self._honest:
            assert digests[: len(on_chain)] == on_chain, f"goods {goods_id}: another order on the chain"
        assert [digest for digest in digests if digest in on_chain] == on_chain, f"goods {goods_id}: another order"
        for record in shown:
            if record.status is CircStatus.SUCCESS and not self.is_shaken:
                assert record.digest in safe, f"goods {goods_id}: {record.trans_id} is a success, but in no safe block"
            elif record.status is CircStatus.FAILED:
                assert record.digest not in on_chain, f"goods {goods_id}: {record.trans_id} failed, but was taken"

    def _check_nonces(self) -> None:
        """Of each signer no gap and no double, and what the chain has at a nonce does what was signed for it."""
        by_signer: dict[str, list[int]] = {}
        wanted: dict[tuple[str, int], tuple[str | None, bytes]] = {}
        rows = t.Outbox.select(t.Outbox.signer, t.Outbox.nonce, t.Outbox.signed_bytes).order_by(t.Outbox.id)
        for address, nonce, raw in t.tuples(rows):
            by_signer.setdefault(address, []).append(nonce)
            wanted[address, nonce] = self._what(bytes(raw))
        for address, nonces in by_signer.items():
            assert nonces == list(range(len(nonces))), f"signer {address}: gap or double in {nonces}"
        for block in self.simulator.ledger.canonical:
            for tx, outcome in zip(block.txs, block.outcomes, strict=True):
                if tx.sender in by_signer:
                    assert wanted[tx.sender, tx.nonce] == (tx.to, tx.data)
                    assert outcome.status or not self._honest, contract.decode_error(outcome.output)

    def _what(self, raw: bytes) -> tuple[str | None, bytes]:
        """What signed bytes do: whom they call, and with which data."""
        if raw not in self._known:
            tx = self.simulator.ledger.decoded(raw)
            self._known[raw] = (tx.to, tx.data)
        return self._known[raw]

    def check_settled(self) -> None:
        """What is so once all is final: the index says what a replay of the chain says."""
        self.check()
        replay = self.replay()
        carriers = {circ.form_digest: tx.hash for circ, tx, _ in replay.taken}
        for goods_id in self.told:
            state, _ = circs.custody([goods_id])[goods_id]
            assert state == replay.goods.get(goods_id, UNHELD)
            for record in circs.history(goods_id):
                carrier = carriers.get(form_digest(record.salt, record.form))
                assert record.status is (CircStatus.FAILED if carrier is None else CircStatus.SUCCESS)
                assert carrier in (None, record.tx_hash)
        actors = t.tuples(t.Actor.select(t.Actor.id, t.Actor.account, t.Actor.rights))
        in_index = {number: (account, Rights(rights)) for number, account, rights in actors}
        assert in_index == replay.actors or not self._honest


@dataclass
class Replay:
    """Custody, actors (account and rights) and circs, each circ with its transaction and block."""

    goods: dict[int, GoodsState]
    actors: dict[int, tuple[str, Rights]]
    taken: list[tuple[Circ, Tx, Block]]

    def take(self, event: contract.Event | None, tx: Tx, block: Block) -> None:
        match event:
            case contract.ActorRegistered():
                self.actors[event.actor] = (event.account, event.rights)
            case contract.RightsChanged():
                self.actors[event.actor] = (self.actors[event.actor][0], event.rights)
            case contract.Circulated():
                rights = {number: each for number, (_, each) in self.actors.items()}
                self.goods.update(custody.apply(event.circ, self.goods, rights))
                self.taken.append((event.circ, tx, block))


@dataclass(frozen=True, slots=True)
class Shown:
    """A circ of one goods in the index."""

    trans_id: str
    times: int | None
    status: CircStatus
    digest: bytes


def _all_circs() -> dict[int, list[Shown]]:
    """The history of every goods, in one query: this is asked after every step."""
    rows = (
        t.CircGoods.select(
            t.CircGoods.goods_id, t.Outbox.tx_hash, t.CircGoods.times, t.Circ.status, t.Circ.salt, t.Circ.form
        )
        .join(t.Circ, on=t.CircGoods.circ_id == t.Circ.id)
        .join(t.Outbox)
        .order_by(t.CircGoods.goods_id, t.CircGoods.circ_id)
    )
    found: dict[int, list[Shown]] = {}
    for goods_id, trans_id, times, status, salt, form in t.tuples(rows):
        digest = form_digest(bytes(salt), bytes(form))
        found.setdefault(goods_id, []).append(Shown(trans_id, times, CircStatus(status), digest))
    return found
