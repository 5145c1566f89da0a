"""A node that starts from an older backup: what came after it is had from the chain, and recording goes on."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from node import catching_up
from node.app import Node
from node.backup import age
from node.backup.making import make
from node.backup.restoring import restore
from node.cli import main
from node.clock import now_micros
from node.config import Config
from node.errors import SetupError
from node.flow.ledger import IndexBehind
from node.opening import Stopped
from tests.chain.servers import anvil
from tests.support import people
from tests.support.node import eventually

from .world import Net, Running, config, started

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(age.Writer.__init__, "__defaults__", (4,))


def back_up(data_dir: Path, file: Path) -> None:
    make(Config(data_dir=data_dir), file, PASSPHRASE, now_micros, lambda *_: None)


def restored(file: Path, target: Path) -> Path:
    target.mkdir()
    restore(file, Config(data_dir=target), PASSPHRASE, lambda *_: None)
    return target


def audited(net: Net, node: Running) -> list[str]:
    named = ["--node", node.ready.grpc, "--rpc", net.url, "--contract", node.ready.contract, "--all"]
    return CliRunner().invoke(main, ["audit", *named]).output.splitlines()


def statuses(node: Running, goods_id: int) -> list[str]:
    return [record.status.value for record in people.settled(node.client, goods_id)]


def test_what_came_after_a_backup_comes_from_the_chain(
    net: Net, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Old goods and new ones, circs that waited when the backup was made, and a user who came later."""
    data_dir, file = tmp_path / "d", tmp_path / "b"
    with started(config(data_dir, net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        first, second = maker.goods(2)
        people.settled(node.client, first)
        net.mining(False)
        waiting = maker.boss.call("CreateCirc", goods_id=first, circ_type=1, form_value=b'{"waited":1}').trans_id.value
        eventually(lambda: net.in_pool(waiting))
        back_up(data_dir, file)
        net.mining(True)
        net.mine()
        late = people.transporter(node.client)
        maker.boss.call("CreateCirc", goods_id=first, circ_type=3, to=late.username, form_value=b'{"lost":1}')
        people.settled(node.client, first)
        late.call("CreateCirc", goods_id=first, circ_type=1, form_value=b"{}")
        (third,) = maker.goods(1)
        maker.boss.call("CreateCirc", goods_id=second, circ_type=1)
        for goods_id in (first, second, third):
            people.settled(node.client, goods_id)
        before = people.history(node.client, first)
    shutil.rmtree(data_dir)
    with started(config(restored(file, tmp_path / "r"), net.url)) as node:
        after = people.settled(node.client, first)
        assert [r.trans_id.value for r in after] == [r.trans_id.value for r in before]
        assert [(r.times.value, r.status.value) for r in after] == [(n, "success") for n in range(4)]
        assert after[1] == before[1]
        assert [r.from_value.value != "" for r in after] == [True, True, False, False]
        boss = people.again(node.client, maker.boss)
        boss.call("CreateCirc", goods_id=second, circ_type=1)
        assert statuses(node, second) == ["success"] * 3
        new = people.transporter(node.client)
        boss.call("CreateCirc", goods_id=second, circ_type=3, to=new.username)
        people.settled(node.client, second)
        new.call("CreateCirc", goods_id=second, circ_type=1)
        assert statuses(node, second) == ["success"] * 5
        more = boss.call("BatchCreateGoods", serial_id=maker.serial_id, sum=1).ids[0].value
        assert more == third + 1
        assert statuses(node, more) == ["success"]
        *differences, last = audited(net, node)[1:]
    assert last.startswith("audit: 4 goods, 11 circs, 0 pending, "), last
    for line in differences:  # what only the lost index knew, is shown as lost and not made up
        assert line.endswith("form and salt differ from their digest on the chain") or "shows as" in line, line
        assert ("shows as" in line) == ("'lost-" in line), line
    assert len([line for line in differences if "form and salt" in line]) == 4
    told = "\n".join(record.getMessage() for record in caplog.records if record.name == "node.catching_up")
    assert "is an older copy" in told
    assert "its user is not known, only the digest of the username; nobody can log in as it" in told
    assert "6 circs, 0 pending, 0 failed; 4 forms and 3 other things are lost" in told


@pytest.fixture
def goods(net: Net, tmp_path: Path) -> tuple[people.Maker, int]:
    """Goods of a node in folder d that was backed up to file b, and recorded one circ more since."""
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        back_up(tmp_path / "d", tmp_path / "b")
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        people.settled(node.client, goods_id)
    return maker, goods_id


class Killed(BaseException):
    """As if the process ended here."""


def test_one_that_is_killed_or_stopped_meanwhile_begins_again(
    net: Net, tmp_path: Path, goods: tuple[people.Maker, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise Killed

    given = config(restored(tmp_path / "b", tmp_path / "r"), net.url)
    with monkeypatch.context() as changed:
        changed.setattr("node.opening.put_in_place", die)
        changed.setattr("node.store.rebuild.Places.clear", lambda _: None)
        with pytest.raises(Killed):
            Node(given, on_fatal=lambda: None)
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Stopped):
        Node(given, on_fatal=lambda: None, stopping=stopping)
    with started(given) as node:
        assert statuses(node, goods[1]) == ["success"] * 2


def test_another_chain_is_refused_as_ever(net: Net, tmp_path: Path, goods: tuple[people.Maker, int]) -> None:
    target = restored(tmp_path / "b", tmp_path / "r")
    with anvil("--timestamp", "1700000000") as other:  # two that begin within one second have the same block 0
        with pytest.raises(SetupError, match="chain") as refused:
            Node(config(target, other), on_fatal=lambda: None)
        assert not isinstance(refused.value, IndexBehind)
    with started(config(target, net.url)) as node:
        assert statuses(node, goods[1]) == ["success"] * 2


def test_what_still_waits_in_the_pool_is_waited_for(
    net: Net, tmp_path: Path, goods: tuple[people.Maker, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    maker, goods_id = goods
    with started(config(tmp_path / "d", net.url)) as node:
        net.mining(False)
        boss = people.again(node.client, maker.boss)
        waiting = boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
        eventually(lambda: net.in_pool(waiting))
    given = config(restored(tmp_path / "b", tmp_path / "r"), net.url)
    with monkeypatch.context() as changed:
        changed.setattr(catching_up, "POOL_SECONDS_MAX", -1.0)
        with pytest.raises(SetupError, match=r"1 transactions of signer .* wait in the chain's pool"):
            Node(given, on_fatal=lambda: None)

    class MinesMeanwhile(threading.Event):
        def wait(self, _: float | None = None) -> bool:
            net.mining(True)
            net.mine()
            return False

    again = Node(given, on_fatal=lambda: None, stopping=MinesMeanwhile())
    again.start()
    again.stop()
    with started(given) as node:
        assert [r.trans_id.value for r in people.settled(node.client, goods_id)][2:] == [waiting]


def test_a_circ_that_was_answered_is_never_given_up(net: Net, tmp_path: Path, goods: tuple[people.Maker, int]) -> None:
    """Two copies of a directory both answered callers: the chain took what one of them signed."""
    maker, goods_id = goods
    one, other = (config(restored(tmp_path / "b", tmp_path / name), net.url) for name in ("r1", "r2"))
    with started(one) as node:
        net.mining(False)
        kept = people.again(node.client, maker.boss).call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
        eventually(lambda: net.in_pool(kept))
    net.ask("anvil_dropAllTransactions")
    net.mining(True)
    with started(other) as node:
        for number in range(2):
            people.again(node.client, maker.boss).call("CreateCirc", goods_id=goods_id, circ_type=4)
            assert len(people.settled(node.client, goods_id)) == 3 + number
    with pytest.raises(SetupError, match="two data directories have signed with this key, and this is not the one"):
        Node(one, on_fatal=lambda: None)
    with closing(sqlite3.connect(one.index_path)) as index:
        assert index.execute("SELECT count(*) FROM outbox WHERE tx_hash = ?", [kept]).fetchone() == (1,)
