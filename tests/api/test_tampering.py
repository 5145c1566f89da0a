"""The index changed by hand: the audit names the goods and what differs, and exits 1."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support import people
from tests.support.node import RunningNode, running

DAY_MICROS = 86_400_000_000

Change = Callable[[sqlite3.Connection, int], None]


@dataclass
class Audited:
    """A node with one goods of four circs, on which the audit finds nothing."""

    node: RunningNode
    goods_id: int

    def audit(self, *what: str) -> CompletedProcess[str]:
        ready = self.node.ready
        named = ("--node", ready["grpc"], "--rpc", self.node.rpc_url, "--contract", ready["contract"])
        return self.node.command("audit", *named, *what)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a node that was stopped in order."""
    data_dir = tmp_path_factory.mktemp("tampering") / "data"
    with running(data_dir) as node:
        maker = people.maker(node.client)
        (goods_id, _) = maker.goods(2)
        carrier = people.transporter(node.client)
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1, form_value=b'{"moisture_percent":11.2}')
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=4, form_value=b'{"score":79}')
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=3, to=carrier.username)
        assert [record.circ_type for record in people.settled(node.client, goods_id)] == [0, 1, 4, 3]
        done = Audited(node, goods_id).audit("--all")
        subject, summary = done.stdout.splitlines()
        assert (done.returncode, summary) == (0, "audit: 2 goods, 5 circs, 0 pending, 0 differences")
        ready = node.ready
        assert subject.startswith(f"audit of chain {ready['chain_id']}, contract {ready['contract']}, code hash 0x")
    return data_dir


def _sql(statement: str) -> Change:
    def change(index: sqlite3.Connection, goods_id: int) -> None:
        assert index.execute(statement, {"goods": goods_id}).rowcount > 0

    return change


def _recorded(micros: int) -> Change:
    """The exam's time of record is moved."""
    return _sql(f"UPDATE circ SET created_at = created_at + {micros} WHERE circ_type = 4")


def _swap_two_rows(index: sqlite3.Connection, goods_id: int) -> None:
    """The process and the exam change places, with forms, salts and transactions."""
    rows = "SELECT circ_id FROM circ_goods WHERE goods_id = ? AND times IN (1, 2) ORDER BY times"
    first, second = (row[0] for row in index.execute(rows, (goods_id,)))
    columns = "circ_type, operator_id, to_id, form, salt, outbox_id"
    one, two = (index.execute(f"SELECT {columns} FROM circ WHERE id = ?", (n,)).fetchone() for n in (first, second))
    spare = index.execute("SELECT id FROM outbox WHERE kind = 'deploy'").fetchone()[0]
    update = f"UPDATE circ SET ({columns}) = (?, ?, ?, ?, ?, ?) WHERE id = ?"
    index.execute(update, (*one[:5], spare, first))
    index.execute(update, (*one, second))
    index.execute(update, (*two, first))


def _delete_goods(index: sqlite3.Connection, goods_id: int) -> None:
    index.execute("DELETE FROM circ_goods WHERE goods_id = ?", (goods_id,))
    index.execute("DELETE FROM goods WHERE id = ?", (goods_id,))


CHANGES: dict[str, tuple[Change, str]] = {
    "a form": (
        _sql("UPDATE circ SET form = CAST('{\"score\":97}' AS BLOB) WHERE form = CAST('{\"score\":79}' AS BLOB)"),
        "form",
    ),
    "a circ row deleted": (
        _sql("DELETE FROM circ_goods WHERE goods_id = :goods AND times = 2"),
        "exam",
    ),
    "the last circ row deleted": (
        _sql("DELETE FROM circ_goods WHERE goods_id = :goods AND times = 3"),
        "transfer",
    ),
    "two rows swapped": (_swap_two_rows, "order"),
    "another product name": (_sql("UPDATE goods_class SET name = 'Geisha, natural'"), "Geisha"),
    "another production date": (_sql("UPDATE serial SET product_time = product_time + 86400000000"), "product"),
    "another user name": (
        _sql("UPDATE user SET username = 'u0000000000000000' WHERE id = (SELECT max(id) FROM user)"),
        "u0000000000000000",
    ),
    "a later time of record": (_recorded(DAY_MICROS), "after the block"),
    "an older time of record": (_recorded(-DAY_MICROS), "before circ"),
    "another salt": (_sql("UPDATE circ SET salt = zeroblob(16) WHERE circ_type = 1"), "digest"),
    "the goods deleted": (
        _delete_goods,
        "goods",
    ),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_audit_names_what_was_changed_by_hand(audited: Path, tmp_path: Path, name: str) -> None:
    change, named = CHANGES[name]
    data_dir = tmp_path / "data"
    shutil.copytree(audited, data_dir)
    index = sqlite3.connect(data_dir / "index.sqlite3")
    with index:
        change(index, 1)
    index.close()
    with running(data_dir) as node:
        for what in (["--all"], ["--goods", "1"]):
            done = Audited(node, 1).audit(*what)
            assert done.returncode == 1, done.stdout + done.stderr
            subject, *differences, summary = done.stdout.splitlines()
            assert subject.startswith("audit of chain ")
            assert differences
            assert all(line.startswith(("goods 1:", "goods 2:")) for line in differences), differences
            assert any(line.startswith("goods 1:") for line in differences)
            assert named in "\n".join(differences), differences
            assert summary.endswith(f"{len(differences)} differences")


def test_an_audit_that_can_not_be_done_exits_2(audited: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(audited, data_dir)
    with running(data_dir) as node:
        ready = node.ready
        for given in (
            ("--node", "127.0.0.1:1", "--rpc", node.rpc_url, "--contract", ready["contract"]),
            ("--node", ready["grpc"], "--rpc", "http://127.0.0.1:1", "--contract", ready["contract"]),
            ("--node", ready["grpc"], "--rpc", node.rpc_url, "--contract", "0x" + "11" * 20),
            ("--node", ready["grpc"], "--rpc", node.rpc_url, "--contract", "rubbish"),
        ):
            done = node.command("audit", *given, "--all")
            assert done.returncode == 2, done.stdout + done.stderr
            assert done.stderr.startswith("audit: could not check: ")


def test_wrong_arguments_and_accidents_never_look_like_differences(audited: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    shutil.copytree(audited, data_dir)
    with running(data_dir) as node:
        ready = node.ready
        right = {"--node": ready["grpc"], "--rpc": node.rpc_url, "--contract": ready["contract"]}
        for flag, value in (
            ("--node", "nonsense"),
            ("--rpc", "ftp://x"),
            ("--rpc", "nonsense"),
            ("--contract", ""),
            ("--chain-id", str(ready["chain_id"] + 1)),
            ("--chain-id", "x"),
            ("--goods", "x"),
            ("--goods", "0"),
            ("--late-blocks", "0"),
        ):
            what = [] if flag == "--goods" else ["--goods", "1"]
            given = [word for pair in (right | {flag: value}).items() for word in pair]
            done = node.command("audit", *given, *what)
            assert (done.returncode, done.stdout) == (2, ""), (flag, value, done.stderr)
            assert done.stderr
        done = Audited(node, 1).audit("--goods", "1", "--goods", "500", "--chain-id", str(ready["chain_id"]))
        assert done.returncode == 2
        assert done.stdout.splitlines()[1:] == [
            "could not check: goods 500: neither the node nor the contract knows them: is the id right?",
            "audit: 1 goods, 4 circs, 0 pending, 0 differences",
        ]
