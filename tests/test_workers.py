"""A node of several processes: what is answered stays exactly once on the chain, whichever of them dies."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from node import config as configuration
from node.app import Node
from node.cli.supervise import Supervisor
from node.config import SQLITE, WORKERS_MAX, Config
from node.errors import SetupError
from tests.chain.servers import anvil
from tests.flow.world import Net, config, net_at, started
from tests.support import people
from tests.support.load import Load, books
from tests.support.node import RunningNode, eventually, vtrace
from tests.support.people import Maker
from tests.support.postgres import Server
from tests.support.watching import WatchClient
from tests.support.wire_client import WireClient

CALLERS = 8
"""Each with a connection of its own, of which the system gives some to each process."""


class Family:
    """A node of two processes, which can be looked at and killed."""

    def __init__(self, net: Net, data_dir: Path, db: str) -> None:
        self.net = net
        self.data_dir = data_dir
        self.db = db
        self._options = ["--chain", net.url, "--signer-key", str(net.key_file), "--confirmations", "1"]
        self._options += ["--workers", "2", "--rate-factor", "0", "--db", db]
        self.node = RunningNode(data_dir, *self._options)

    def again(self) -> None:
        """Start it anew."""
        self.node = RunningNode(self.data_dir, *self._options)

    def pids(self) -> list[int]:
        """Its processes that answer calls and run now."""
        pid = self.node.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def _noted(self, name: str) -> list[str]:
        """What the index says under the names that are like one."""
        query = "SELECT value FROM progress WHERE name LIKE ?"
        if self.db != SQLITE:
            with closing(psycopg.connect(self.db, autocommit=True)) as server:
                return [value for (value,) in server.execute(query.replace("?", "%s"), [name])]
        with closing(sqlite3.connect(f"file:{self.data_dir / 'index.sqlite3'}?mode=ro", uri=True)) as index:
            return [value for (value,) in index.execute(query, [name])]

    def leader(self) -> int:
        """The pid of the process that leads."""

        def look() -> int:
            (who,) = self._noted("lead.chain")
            pid = int(who.rpartition("pid ")[2])
            return pid if pid in self.pids() else 0

        return int(eventually(look))

    def follower(self) -> int:
        """The pid of the other one, once it answers."""

        def look() -> int:
            leader = self.leader()
            others = [int(pid) for pid in self._noted("worker.%") if pid and int(pid) != leader]
            return next((pid for pid in others if pid in self.pids()), 0)

        return int(eventually(look))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    home = tmp_path_factory.mktemp("family")
    db = SQLITE
    if request.param != "sqlite":
        server: Server = request.getfixturevalue("server")
        db = server.url(server.database())
    # Not one block a transaction: Anvil then sometimes keeps some in its pool for good when many come at once.
    with anvil("--block-time", "1") as url, net_at(url, home) as net:
        made = Family(net, home / "d", db)
        yield made
        assert made.node.stop() == 0, made.node.log()


@pytest.fixture(scope="module")
def maker(family: Family) -> Maker:
    return people.maker(family.node.client)


def _clients(family: Family, maker: Maker, opened: ExitStack) -> list[WireClient]:
    made = [WireClient(family.node.ready["grpc"], maker.boss.client.token) for _ in range(CALLERS)]
    for client in made:
        opened.callback(client.close)
    return made


def test_what_is_answered_is_once_on_the_chain_whoever_is_killed(family: Family, maker: Maker) -> None:
    token = maker.boss.client.token
    goods = maker.goods(2 * CALLERS)
    answered: dict[str, list[int]] = {}

    def recorded(enough: int) -> Load:
        """Callers at work, some of whom are told so many circs."""
        load = Load(family.node.ready["grpc"], token, goods, CALLERS)
        load.start()
        eventually(lambda: len(load.answered) >= enough)
        return load

    def ended(load: Load) -> None:
        load.halt()
        load.join()
        assert not load.faults
        assert not answered.keys() & load.answered.keys()
        answered.update(load.answered)

    for whom in (family.leader, family.follower):
        pid = whom()
        family.follower()  # both are there
        load = recorded(20)
        os.kill(pid, signal.SIGKILL)
        eventually(lambda dead=pid: dead not in family.pids() and len(family.pids()) == 2)
        ended(load)
    before = family.pids()
    load = recorded(20)
    family.node.kill_now()
    family.node.reap()
    family.again()  # waits for the two that the first one left
    assert not set(before) & set(family.pids())
    ended(load)
    with ExitStack() as opened:
        client = _clients(family, maker, opened)[0]
        assert books(client, goods, answered).balance
    done = vtrace(
        "audit",
        "--all",
        "--node",
        family.node.ready["grpc"],
        "--rpc",
        family.net.url,
        "--contract",
        family.node.ready["contract"],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    done = vtrace("log", "verify", "--data-dir", str(family.data_dir), "--db", family.db)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_process_shows_and_tells_what_the_leader_confirmed(family: Family, maker: Maker) -> None:
    with ExitStack() as opened:
        clients = _clients(family, maker, opened)
        (goods_id,) = clients[0].call("BatchCreateGoods", serial_id=maker.serial_id, sum=1).ids
        for client in clients:
            people.settled(client, goods_id.value)
        watchers = [WatchClient(client) for client in clients]
        for watcher in watchers:
            opened.callback(watcher.close)
        streams = [watcher.goods(goods_id.value) for watcher in watchers]
        told = [client.call("CreateCirc", goods_id=goods_id.value, circ_type=1).trans_id.value for client in clients]
        for stream in streams:
            seen: set[str] = set()
            while len(seen) < len(told):
                change = stream.change()
                seen.update([change.trans_id] if change.status == "success" else [])
            assert seen == set(told)


def test_a_key_makes_a_call_once_whichever_process_hears_it(family: Family, maker: Maker) -> None:
    with ExitStack() as opened:
        clients = [client.with_key("once") for client in _clients(family, maker, opened)]
        answers = [client.call("BatchCreateGoods", serial_id=maker.serial_id, sum=1) for client in clients]
        assert len({answer.ids[0].value for answer in answers}) == 1


def test_status_tells_who_leads(family: Family) -> None:
    leader, follower = family.leader(), family.follower()
    lines = vtrace("status", "--data-dir", str(family.data_dir), "--db", family.db).stdout.splitlines()
    assert len([line for line in lines if f"pid {leader}," in line and line.endswith("leads")]) == 1
    assert len([line for line in lines if f"pid {follower}," in line and not line.endswith("leads")]) == 1


def test_an_older_index_is_brought_up_to_date_before_any_process_answers(tmp_path: Path) -> None:
    with anvil() as url, net_at(url, tmp_path) as net:
        alone = config(tmp_path / "d", url, net.key_file)
        with started(alone) as node:
            maker = people.maker(node.client)
            (goods_id,) = maker.goods(1)
            people.settled(node.client, goods_id)
        older = shutil.copytree(alone.data_dir, tmp_path / "older")
        with started(alone) as node:
            again = people.again(node.client, maker.boss)
            told = again.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
            people.settled(node.client, goods_id)
        family = Family(net, older, SQLITE)
        assert [one.trans_id.value for one in people.history(family.node.client, goods_id)][1:] == [told]
        assert family.node.stop() == 0


def test_numbers_of_processes_that_can_not_be(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="--workers 2: the embedded chain lives inside one process"):
        configuration.check(Config(tmp_path, workers=2))
    for workers in (0, WORKERS_MAX + 1):
        with pytest.raises(SetupError, match=f"--workers {workers}: want 1 to {WORKERS_MAX}"):
            configuration.check(Config(tmp_path, workers=workers))


def test_what_another_has_is_refused(family: Family, tmp_path: Path) -> None:
    free = Config(
        family.data_dir, db=family.db, chain=family.net.url, grpc="127.0.0.1:0", http="127.0.0.1:0", workers=2
    )
    taken = replace(free, data_dir=tmp_path, grpc=family.node.ready["grpc"])
    for given, why in ((free, "another node runs on it"), (taken, f"--grpc {taken.grpc}: Address already in use")):
        with pytest.raises(SetupError, match=why):
            Supervisor(given, threading.Event(), lambda _: None).run()
    with pytest.raises(SetupError, match="another node runs on it"):
        Node(replace(free, workers=1), on_fatal=lambda: None)
