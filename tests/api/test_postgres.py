"""A node whose index is in PostgreSQL: records, dies, loses its database, is rebuilt."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from node.cli import main
from tests.chain.servers import anvil
from tests.flow.world import net_at
from tests.support import people
from tests.support.node import NodeFailed, RunningNode, eventually, running, vtrace
from tests.support.postgres import Server, postgres

SECRET = "chamomile-by-the-river"
WHOLE = "1 actors, 2 goods, 3 circs, 0 pending, 0 failed"


@pytest.fixture(scope="module")
def own(server: Server) -> Iterator[Server]:
    """A server that nobody else uses while it is away."""
    assert server.process.poll() is None
    with postgres() as started:
        yield started


@pytest.fixture
def _told(own: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database in the environment, as a node is told of it; the server takes any password."""
    monkeypatch.setenv("VTRACE_DB", own.url(own.database()).replace("@", f":{SECRET}@"))


def _records(node: RunningNode, goods: list[int]) -> list[list[Any]]:
    """The histories, without the ids that the index gave: a server that died leaves gaps, a rebuild none."""
    found = [people.settled(node.client, each) for each in goods]
    for records in found:
        for record in records:
            record.ClearField("id")
    return found


def _command_lines(node: RunningNode) -> bytes:
    found = Path(f"/proc/{node.process.pid}/cmdline")
    return found.read_bytes() if found.exists() else b""


@pytest.mark.usefixtures("_told")
def test_record_read_die_lose_the_database_and_rebuild(own: Server, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    node = RunningNode(data_dir)
    maker = people.maker(node.client)
    goods = maker.goods(2)
    maker.boss.call("CreateCirc", goods_id=goods[0], circ_type=1, form_value=b'{"step":"dried"}')
    node.kill()
    with running(data_dir) as node:
        boss = people.again(node.client, maker.boss)
        assert len(people.settled(node.client, goods[0])) == 2

        own.stop(signal.SIGQUIT)
        keyed = boss.with_key("only once")
        for rpc, fields in (("GetCirc", {}), ("CreateCirc", {"circ_type": 1, "form_value": b"{}"})):
            with pytest.raises(people.Refusal) as refused:
                keyed.call(rpc, goods_id=goods[1], **fields)
            assert refused.value.status == "UNAVAILABLE"
        own.start()

        def record() -> str:
            try:
                return str(keyed.call("CreateCirc", goods_id=goods[1], circ_type=1, form_value=b"{}").trans_id)
            except people.Refusal as fault:
                assert fault.status == "UNAVAILABLE", fault  # noqa: PT017 - it may be so for a moment
                return ""

        assert eventually(record) == record()
        records = _records(node, goods)
        assert [[record.times.value for record in each] for each in records] == [[0, 1], [0, 1]]
        audit = node.command(
            "audit", "--node", node.ready["grpc"], "--rpc", node.rpc_url, "--all", "--contract", node.ready["contract"]
        )
        assert audit.returncode == 0, audit.stdout + audit.stderr
        busy = vtrace("reindex", "--data-dir", str(tmp_path), "--chain", node.rpc_url, "--confirmations", "1")
        assert (busy.returncode, "a node or another command uses it" in busy.stderr) == (2, True), busy.stderr
        assert SECRET.encode() not in _command_lines(node)
    assert not (data_dir / "index.sqlite3").exists()

    for args in (["--check"], []):
        done = vtrace("reindex", "--data-dir", str(data_dir), *args)
        assert (done.returncode, WHOLE in done.stdout) == (0, True), done.stdout + done.stderr
    assert (data_dir / "index.copy.sqlite3.before-reindex").exists()
    assert not (data_dir / "index.copy.sqlite3").exists()
    with running(data_dir) as node:
        assert _records(node, goods) == records
        again = people.again(node.client, maker.boss)
        assert [id_.value for id_ in again.call("BatchCreateGoods", serial_id=maker.serial_id, sum=2).ids] == [3, 4]
        assert SECRET not in node.log()
        assert SECRET not in (busy.stdout + busy.stderr + done.stdout + done.stderr)
    for path in data_dir.iterdir():
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()


def test_a_database_without_an_index_is_no_nodes(database: str, tmp_path: Path) -> None:
    for command in ("status", "epcis export", "files verify"):
        done = CliRunner().invoke(main, [*command.split(), "--data-dir", str(tmp_path)], env={"VTRACE_DB": database})
        assert done.exit_code == 1
        assert done.output == "Error: --db: no node keeps its index in that database; name the database of the node\n"


def test_nodes_on_two_machines_share_a_database_and_one_leads(server: Server, tmp_path: Path) -> None:
    """Each with a data directory of its own, which has the same master key."""
    db = server.url(server.database())
    with anvil("--block-time", "1") as url, net_at(url, tmp_path) as net:
        options = ["--db", db, "--chain", url, "--signer-key", str(net.key_file), "--confirmations", "1"]
        first = RunningNode(tmp_path / "first", *options)
        (tmp_path / "second").mkdir(0o700)
        shutil.copy(tmp_path / "first" / "master.key", tmp_path / "second")
        with running(tmp_path / "second", *options) as second:
            assert second.ready["contract"] == first.ready["contract"]
            maker = people.maker(first.client)
            (goods_id,) = maker.goods(1)
            beside = people.again(second.client, maker.boss)
            told = [
                client.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
                for client in (maker.boss.client, beside)
            ]
            assert [each.trans_id.value for each in people.settled(second.client, goods_id)][1:] == told
            first.kill()
            told.append(beside.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value)
            assert [each.trans_id.value for each in people.settled(second.client, goods_id)][1:] == told
        (tmp_path / "third").mkdir(0o700)
        with pytest.raises(NodeFailed, match="master key"):
            RunningNode(tmp_path / "third", *options)
