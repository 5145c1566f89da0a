"""Rebuilding the index of a node on a shared chain: nothing that was answered is lost, and the node goes on."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from node.chain import contract, signer
from node.chain.fees import Fees
from node.chain.history import History
from node.cli import main
from node.domain.model import Rights
from node.flow.reindex import Given, NotPossible, Reindex
from node.store import tables as t
from tests.audit.world import Tampered
from tests.chain.servers import fund
from tests.support import people
from tests.support.node import eventually
from tests.support.own_key import Partner, circ, with_key

from .test_failed import _actor as actor_of
from .world import FIRST_IN_BLOCK_WEI, Net, Registrar, Running, config, in_index, started


def reindex(net: Net, data_dir: Path, *args: str) -> tuple[int, str]:
    given = ["--data-dir", str(data_dir), "--chain", net.url, "--confirmations", "1", *args]
    done = CliRunner().invoke(main, ["reindex", *given])
    return done.exit_code, done.output


def is_equal(net: Net, data_dir: Path) -> None:
    code, said = reindex(net, data_dir, "--check")
    assert (code, said.endswith(": 0 differences\n")) == (0, True), said


def no_differences(net: Net, node: Running) -> None:
    named = ["--node", node.ready.grpc, "--rpc", net.url, "--contract", node.ready.contract, "--all"]
    done = CliRunner().invoke(main, ["audit", *named])
    assert (done.exit_code, done.output.endswith(", 0 differences\n")) == (0, True), done.output


def copied(net: Net, data: bytes, to: str) -> str:
    """A stranger hands over what somebody signed, ahead of all that waits."""
    stranger = signer.new_key()
    fund(net.rpc, signer.address_of(stranger))
    signed = signer.sign_transaction(
        stranger,
        chain_id=net.chain.chain_id(),
        nonce=0,
        to=to,
        data=data,
        gas=500_000,
        fees=Fees(2 * FIRST_IN_BLOCK_WEI, FIRST_IN_BLOCK_WEI),
    )
    assert net.chain.send([signed.raw]) == [None]
    return signed.hash


def test_what_is_not_mined_yet_stays_pending_and_is_sent(net: Net, tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    with started(config(data_dir, net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        first, second = maker.goods(2)
        people.settled(node.client, first)
        net.mining(False)
        late = people.transporter(node.client)  # the registration of its actor is pending too
        for kind, to in ((1, ""), (3, late.username)):
            maker.boss.call("CreateCirc", goods_id=first, circ_type=kind, to=to, form_value=b'{"a":1}')
        last = late.call("CreateCirc", goods_id=first, circ_type=1).trans_id.value
        eventually(lambda: net.in_pool(last))
        before = people.history(node.client, first)
    assert len(before) == 4
    code, said = reindex(net, data_dir)
    assert (code, "1 actors, 2 goods, 1 circs, 3 pending, 0 failed" in said) == (0, True), said
    is_equal(net, data_dir)
    with started(config(data_dir, net.url)) as node:
        assert people.history(node.client, first) == before
        client = node.client.with_token(late.client.token)
        client.call("CreateCirc", goods_id=first, circ_type=1)
        node.client.with_token(maker.boss.client.token).call("CreateCirc", goods_id=second, circ_type=1)
        net.mining(True)
        net.mine()
        records = people.settled(node.client, first)
        assert [(record.status.value, record.times.value) for record in records] == [("success", n) for n in range(5)]
        assert len(people.settled(node.client, second)) == 2
        no_differences(net, node)
    is_equal(net, data_dir)


def test_an_older_copy_of_the_index_is_brought_up_to_date(net: Net, tmp_path: Path) -> None:
    data_dir, backup = tmp_path / "d", tmp_path / "backup"
    with started(config(data_dir, net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        goods = maker.goods(3)
        people.settled(node.client, goods[2])
    shutil.copytree(data_dir, backup)
    with started(config(data_dir, net.url)) as node:
        client = node.client.with_token(maker.boss.client.token)
        for goods_id in goods:
            client.call("CreateCirc", goods_id=goods_id, circ_type=1, form_value=b'{"since":1}')
            people.settled(node.client, goods_id)
        # The last transaction is one that leaves no event: the next nonce must follow from it all the same.
        maker.boss = people.Person(maker.boss.username, maker.boss.phone, client)
        registrar = Registrar(net, node.ready.contract)
        net.mining(False)
        registrar.set_rights(actor_of(maker.boss), Rights.NONE)
        refused = client.call("CreateCirc", goods_id=goods[0], circ_type=1).trans_id.value
        eventually(lambda: net.in_pool(refused))
        net.mining(True)
        net.mine()
        registrar.set_rights(actor_of(maker.boss), Rights.CIRCULATE | Rights.PRODUCE)
        assert people.settled(node.client, goods[0])[2].status.value == "failed"
    exported = CliRunner().invoke(main, ["forms", "export", "--data-dir", str(data_dir)])
    export = tmp_path / "forms.jsonl"
    export.write_text(exported.stdout)
    code, said = reindex(net, backup)
    assert (code, said.endswith("4 forms missing, 0 losses\n")) == (1, True), said
    code, said = reindex(net, backup, "--forms", str(export))
    assert (code, "4 circs, 0 pending, 1 failed" in said) == (0, True), said
    with started(config(backup, net.url)) as node:
        client = node.client.with_token(maker.boss.client.token)
        client.call("BatchCirc", goods_ids=goods, circ_type=1)
        records = people.settled(node.client, goods[0])
        assert [record.status.value for record in records] == ["success", "success", "failed", "success"]
        assert records[3].times.value == 2
        no_differences(net, node)
    is_equal(net, backup)


def test_failed_circs_and_those_that_strangers_carried(net: Net, tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    with started(config(data_dir, net.url, net.key_file)) as node:
        maker, other = people.maker(node.client), people.maker(node.client)
        (first,), (second, third) = maker.goods(1), other.goods(2)
        people.settled(node.client, third)
        registrar = Registrar(net, node.ready.contract)
        net.mining(False)
        registrar.set_rights(actor_of(maker.boss), Rights.NONE)
        failing = maker.boss.call("CreateCirc", goods_id=first, circ_type=1).trans_id.value
        carried = other.boss.call("CreateCirc", goods_id=second, circ_type=1).trans_id.value
        eventually(lambda: net.in_pool(carried))
        (seen,) = net.chain.transactions([carried])
        assert seen is not None
        carrier = copied(net, seen.input, node.ready.contract)
        net.mining(True)
        net.mine()
        before = {goods_id: people.settled(node.client, goods_id) for goods_id in (first, second, third)}
        assert [record.status.value for record in before[first]] == ["success", "failed"]
        assert (before[first][1].trans_id.value, before[second][1].tx_hash.value) == (failing, carrier)

        # One more, of which only the copy is mined: the node's own transaction still has to use its nonce.
        net.mining(False)
        waiting = other.boss.call("CreateCirc", goods_id=third, circ_type=1).trans_id.value
        eventually(lambda: net.in_pool(waiting))
        (seen,) = net.chain.transactions([waiting])
        assert seen is not None
    net.ask("anvil_dropTransaction", waiting)
    carrier = copied(net, seen.input, node.ready.contract)
    net.mining(True)
    net.mine()
    assert reindex(net, data_dir)[0] == 0
    is_equal(net, data_dir)
    with started(config(data_dir, net.url)) as node:
        for goods_id in (first, second):
            assert people.history(node.client, goods_id) == before[goods_id]
        records = people.settled(node.client, third)
        assert [record.status.value for record in records] == ["success"] * 2
        assert (records[1].trans_id.value, records[1].tx_hash.value) == (waiting, carrier)
        node.client.with_token(other.boss.client.token).call("CreateCirc", goods_id=third, circ_type=1)
        assert len(people.settled(node.client, third)) == 3
        assert in_index(third) == net.goods(node.ready.contract, third)
        no_differences(net, node)
    is_equal(net, data_dir)


def test_several_signers_and_a_transaction_that_was_signed_again(net: Net, tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    second, key_file = signer.new_key(), tmp_path / "second.key"
    key_file.touch(0o600)
    key_file.write_text(second.hex())
    fund(net.rpc, signer.address_of(second))
    given = replace(config(data_dir, net.url), signer_keys=(net.key_file, key_file), signers=2, bump_after=1.0)
    with started(given) as node:
        maker = people.maker(node.client)
        goods = maker.goods(4)
        people.settled(node.client, goods[3])
        for goods_id in goods:
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1, form_value=b'{"a":1}')
        people.settled(node.client, goods[3])
        net.mining(False)
        bumped = maker.boss.call("CreateCirc", goods_id=goods[0], circ_type=1).trans_id.value

        def again() -> str | None:
            live: str | None = t.Outbox.get(t.Outbox.tx_hash == bumped).live_hash
            return live if live is not None and net.in_pool(live) else None

        eventually(again)
    net.mine()
    assert reindex(net, data_dir)[0] == 0
    is_equal(net, data_dir)
    with closing(sqlite3.connect(data_dir / "index.sqlite3")) as index, index:
        assert len(index.execute("SELECT DISTINCT signer FROM outbox").fetchall()) == 2
        (mined,) = index.execute("SELECT mined_hash FROM outbox WHERE tx_hash = ?", [bumped]).fetchone()
        assert mined != bumped
        index.execute("DELETE FROM outbox WHERE tx_hash != ?", [bumped])
    code, said = reindex(net, data_dir)
    assert (code, said.endswith("0 forms missing, 0 losses\n")) == (0, True), said
    net.mining(True)
    with started(replace(given, signer_keys=(), bump_after=90.0)) as node:
        assert people.settled(node.client, goods[0])[2].trans_id.value == bumped
        client = node.client.with_token(maker.boss.client.token)
        for goods_id in goods * 2:
            client.call("CreateCirc", goods_id=goods_id, circ_type=1)
        for goods_id in goods:
            assert {record.status.value for record in people.settled(node.client, goods_id)} == {"success"}
        no_differences(net, node)
    is_equal(net, data_dir)


@contextmanager
def stalling(url: str, method: str) -> Iterator[tuple[str, threading.Event]]:
    """An endpoint in front of another, which says nothing more once it was asked for ``method``; tells when it was."""
    asked, done = threading.Event(), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if method.encode() in body:
                asked.set()
                done.wait(60)
                return
            answer = httpx.post(url, content=body, headers={"content-type": "application/json"}).content
            self.send_response(200)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        done.set()
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_rebuild_that_is_killed_leaves_the_index_as_it_was(net: Net, tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    with started(config(data_dir, net.url, net.key_file)) as node:
        (goods_id,) = people.maker(node.client).goods(1)
        before = people.settled(node.client, goods_id)
    index = data_dir / "index.sqlite3"
    with closing(sqlite3.connect(index)) as opened, opened:
        opened.execute("UPDATE goods SET times = 7")
    content = index.read_bytes()
    # The last thing that is asked for before the new index is finished.
    with stalling(net.url, "eth_getTransactionByHash") as (slow, asked):
        with closing(sqlite3.connect(index)) as opened, opened:
            opened.execute("DELETE FROM outbox WHERE kind = 'circ'")
        content = index.read_bytes()
        command = [sys.executable, "-m", "node.cli", "reindex", "--data-dir", str(data_dir), "--chain", slow]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            assert asked.wait(60)
            assert (data_dir / "index.sqlite3.new").stat().st_size > 0
            process.send_signal(signal.SIGKILL)
    assert index.read_bytes() == content
    assert reindex(net, data_dir)[0] == 0
    found = {path.name for path in data_dir.glob("index*") if path.suffix != ".lead"}
    assert found == {"index.sqlite3", "index.sqlite3.before-reindex"}
    with closing(sqlite3.connect(data_dir / "index.sqlite3.before-reindex")) as opened:
        assert opened.execute("SELECT times FROM goods").fetchall() == [(7,)]
    with started(config(data_dir, net.url)) as node:
        assert people.history(node.client, goods_id) == before
        no_differences(net, node)


def test_an_endpoint_that_leaves_out_logs_is_noticed(net: Net, tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    with started(config(data_dir, net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        for _ in range(2):
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        assert len(people.settled(node.client, goods_id)) == 3
        history = History(net.rpc, node.ready.contract)
    head = net.chain.head().number
    entries = [entry for some in history.entries(0, head, lambda _: None) for entry in some]
    circs = [entry.tx_hash for entry in entries if isinstance(entry.event, contract.Circulated)]
    assert len(circs) == 3
    before = (data_dir / "index.sqlite3").read_bytes()
    for gone in circs:

        def leave_out(method: str, _params: Any, answer: Any, gone: str = gone) -> Any:
            return [log for log in answer if log["transactionHash"] != gone] if method == "eth_getLogs" else answer

        given = Given(confirmations=1, seal=lambda: pytest.fail("no key is asked for"))
        with pytest.raises(NotPossible):
            Reindex(data_dir / "index.sqlite3", Tampered(net.rpc, leave_out), [], given).run()
        assert (data_dir / "index.sqlite3").read_bytes() == before


def test_actors_that_keep_their_own_key_stay_sovereign(net: Net, tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    keys = [signer.new_key(), signer.new_key()]
    with started(config(data_dir, net.url, net.key_file)) as node, ExitStack() as opened:
        maker = people.maker(node.client)
        partners = [Partner(people.transporter(node.client), signer.address_of(key), with_key(key)) for key in keys]
        for partner in partners:
            opened.callback(partner.close)
        settled, waits = partners
        first, second = maker.goods(2)
        for goods_id, partner in ((first, settled), (second, waits)):
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=3, to=partner.person.username)
        settled.set_account()
        settled.record(circ(first))
        people.settled(node.client, first)
        people.settled(node.client, second)
        net.mining(False)
        waits.set_account()
        waits.record(circ(second))
        eventually(lambda: all(net.in_pool(tx.tx_hash) for tx in t.Outbox.select()))
    # The chain forgets what it had not mined.
    for tx_hash in net.ask("txpool_content")["pending"].get(signer.address_of(net.key), {}).values():
        net.ask("anvil_dropTransaction", tx_hash["hash"])
    code, said = reindex(net, data_dir)
    assert code == 0, said
    net.mining(True)
    with started(config(data_dir, net.url, net.key_file)) as node:
        for goods_id, partner in ((first, settled), (second, waits)):
            partner.move_to(node.ready.grpc)
            assert partner.shown().sovereign
            partner.record(circ(goods_id))
            assert [one.status.value for one in people.settled(node.client, goods_id)] == ["success"] * 4
        no_differences(net, node)
        settled.close()
        waits.close()
    is_equal(net, data_dir)
