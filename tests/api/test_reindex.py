"""The index damaged by hand or gone: ``vtrace reindex --check`` finds it, ``vtrace reindex`` mends it."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from node.chain import signer
from node.cli import main
from node.wire.circ.v1 import circ_pb2 as circ
from tests.api.test_publish import cid_of
from tests.api.test_tampering import CHANGES
from tests.support import people
from tests.support.node import RunningNode, eventually, running

FORMS = [b'{"moisture_percent":11.2}', b'{"score":79}', b""]
WHOLE = ", 2 actors, 2 goods, 4 circs, 0 pending, 0 failed: 0 forms missing, 0 losses\n"


class Recorded:
    """A stopped node's data directory, with two goods and four circs, whose forms were published."""

    def __init__(self, home: Path) -> None:
        self.data_dir = home / "data"
        self.key_file = home / "signer.key"
        self.key_file.touch(0o600)
        self.key_file.write_text(signer.new_key().hex())
        with running(self.data_dir, "--publish-forms", "--signer-key", str(self.key_file)) as node:
            self.contract = node.ready["contract"]
            self.maker = people.maker(node.client)
            self.goods = self.maker.goods(2)
            carrier = people.transporter(node.client)
            for kind, form in zip((1, 4), FORMS, strict=False):
                self.maker.boss.call("CreateCirc", goods_id=self.goods[0], circ_type=kind, form_value=form)
            self.maker.boss.call("CreateCirc", goods_id=self.goods[0], circ_type=3, to=carrier.username)
            self.records = people.settled(node.client, self.goods[0])
            for record in self.records:
                url = f"http://{node.ready['http']}/ipfs/{cid_of(record)}"
                eventually(lambda url=url: httpx.head(url).status_code == 200)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return Recorded(tmp_path_factory.mktemp("reindex"))


@pytest.fixture
def data_dir(recorded: Recorded, tmp_path: Path) -> Path:
    shutil.copytree(recorded.data_dir, tmp_path / "data")
    return tmp_path / "data"


def reindex(data_dir: Path, *args: str) -> Result:
    return CliRunner().invoke(main, ["reindex", "--data-dir", str(data_dir), *args])


def differences(data_dir: Path) -> list[str]:
    """What --check says; its exit code and its summary must agree."""
    result = reindex(data_dir, "--check")
    *lines, summary = result.output.splitlines()
    assert summary.endswith(f"{len(lines)} differences"), result.output
    assert result.exit_code == bool(lines)
    return lines


def sql(data_dir: Path, *statements: str) -> None:
    with closing(sqlite3.connect(data_dir / "index.sqlite3")) as index, index:
        for statement in statements:
            index.execute(statement)


def content(data_dir: Path) -> dict[str, list[Any]]:
    """Every row of every table."""
    with closing(sqlite3.connect(data_dir / "index.sqlite3")) as index:
        tables = [name for (name,) in index.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(index.execute(f'SELECT * FROM "{name}"'), key=repr) for name in tables}


def facts(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """What a rebuild must give again.

    All of these tables, but when a circ was recorded, which only its row knew, and what was the last transaction about
    goods, which only counts while it is on its way.
    """
    kept = {table: rows[table] for table in ("circ_goods", "actor", "outbox", "goods_class", "serial", "published")}
    circs = [(*row[:-4], *row[-2:]) for row in rows["circ"]]  # but created_at and reason
    return {**kept, "circ": circs, "goods": [(*row[:-2], row[-1]) for row in rows["goods"]]}  # but last_outbox


def audit(node: RunningNode) -> tuple[int, list[str]]:
    ready = node.ready
    named = ("--node", ready["grpc"], "--rpc", node.rpc_url, "--contract", ready["contract"], "--all")
    done = node.command("audit", *named)
    return done.returncode, done.stdout.splitlines()[1:]


def no_differences(node: RunningNode, circs: int) -> None:
    assert audit(node) == (0, [f"audit: 2 goods, {circs} circs, 0 pending, 0 differences"])


def beside(data_dir: Path) -> set[str]:
    """What stands in the data directory under the index's name, beside the locks of those who lead."""
    found = {path.name.removeprefix("index.sqlite3") for path in data_dir.glob("index.sqlite3*")}
    return {name for name in found if not name.endswith(".lead")}


def test_an_honest_index_equals_the_chain_and_stays_as_it_is(data_dir: Path) -> None:
    before = content(data_dir)
    assert differences(data_dir) == []
    assert (content(data_dir), beside(data_dir)) == (before, {""})
    done = reindex(data_dir)
    assert done.exit_code == 0
    assert done.output.endswith(WHOLE)
    assert done.output.count("\n") == 1
    after = content(data_dir)
    after.pop("schema_migration"), before.pop("schema_migration")
    # The circs may have other ids, so the feed begins again under another name, and every cursor is gone.
    assert (len(before.pop("change")) > 0, after.pop("change")) == (True, [])
    assert after.pop("feed") != before.pop("feed")
    assert after == before
    assert beside(data_dir) == {"", ".before-reindex"}


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_changed_by_hand_is_found_and_mended(data_dir: Path, name: str) -> None:
    before = content(data_dir)
    change, _ = CHANGES[name]
    with closing(sqlite3.connect(data_dir / "index.sqlite3")) as index, index:
        change(index, 1)
    found = differences(data_dir)
    assert found
    done = reindex(data_dir)
    if name == "another user name":  # the only thing that nobody else knows
        assert (done.exit_code, "its user is not known" in done.output) == (1, True)
        return
    assert done.exit_code == 0, done.output
    assert differences(data_dir) == []
    assert facts(content(data_dir)) == facts(before)


STATEMENTS = [
    "UPDATE outbox SET tx_hash = '0x' || hex(zeroblob(32)) WHERE id = (SELECT outbox_id FROM circ WHERE circ_type = 4)",
    "UPDATE outbox SET signed_bytes = x'02c0' WHERE id = (SELECT outbox_id FROM circ WHERE circ_type = 3)",
    "UPDATE outbox SET kind = 'set_rights' WHERE kind = 'circ'",
    "UPDATE circ SET status = 'failed' WHERE circ_type = 4",
    "UPDATE actor SET rights = 7, account = '0x' || hex(zeroblob(20)) WHERE id = 2",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_transactions_and_actors_are_held_against_the_chain_too(data_dir: Path, statement: str) -> None:
    before = content(data_dir)
    sql(data_dir, statement)
    found = differences(data_dir)
    # Kind and bytes of a transaction that is final are shown to nobody, but a rebuild must not trip over them.
    assert found or "kind" in statement or "bytes" in statement
    done = reindex(data_dir)
    assert (done.exit_code, done.output.endswith(WHOLE)) == (0, True), done.output
    assert differences(data_dir) == []
    shown = ("circ_goods", "goods", "actor")
    assert [content(data_dir)[table] for table in shown] == [before[table] for table in shown]


def _whole(records: list[Any]) -> list[circ.CircRecord]:
    """With the fields that the seed protocol doesn't have."""
    return [circ.CircRecord.FromString(record.SerializeToString()) for record in records]


def test_a_mended_node_goes_on(recorded: Recorded, data_dir: Path) -> None:
    sql(data_dir, "DELETE FROM circ_goods", "DELETE FROM circ", "DELETE FROM outbox", "UPDATE goods SET holder = 2")
    assert len(differences(data_dir)) > 4
    done = reindex(data_dir)
    assert (done.exit_code, done.output.endswith(WHOLE)) == (0, True), done.output
    with running(data_dir) as node:
        no_differences(node, 5)
        shown, before = (_whole(records) for records in (people.history(node.client, 1), recorded.records))
        for now, then in zip(shown, before, strict=True):
            since = (now.recorded_at.ToMicroseconds() - then.recorded_at.ToMicroseconds()) / 1_000_000
            assert -1 < since < 60, "the time of its block"
            now.recorded_at.CopyFrom(then.recorded_at)
        assert shown == before
        client = node.client.with_token(recorded.maker.boss.client.token)
        client.call("CreateCirc", goods_id=2, circ_type=1, form_value=b"{}")
        assert [record.status.value for record in people.settled(node.client, 2)] == ["success"] * 2
        no_differences(node, 6)
    assert differences(data_dir) == []


def _remove_index(data_dir: Path) -> None:
    for path in data_dir.glob("index.sqlite3*"):
        path.unlink()


def _overwrite_index(data_dir: Path) -> None:
    (data_dir / "index.sqlite3").write_bytes(b"no index any more" * 1000)


@pytest.mark.parametrize("damage", [_remove_index, _overwrite_index])
def test_an_index_that_is_gone_is_built_as_far_as_can_be(recorded: Recorded, data_dir: Path, damage: Any) -> None:
    damage(data_dir)
    left = beside(data_dir)
    for given, why in (
        ([], "name it (--contract 0x…)"),
        (["--contract", recorded.contract], "THE KEY OF THE SIGNER 0x"),
        (["--contract", "0x" + "11" * 20], "is not this version's contract"),
    ):
        refused = reindex(data_dir, *given)
        assert (refused.exit_code, why in refused.output) == (2, True), refused.output
        assert beside(data_dir) == left
    done = reindex(data_dir, "--contract", recorded.contract, "--signer-key", str(recorded.key_file))
    assert done.exit_code == 1, done.output
    assert done.output.count("KEY IS LOST") == 2
    assert done.output.endswith("0 forms missing, 4 losses\n")
    with running(data_dir) as node:
        records = people.history(node.client, 1)
        assert [record.from_value for record in records] == [record.from_value for record in recorded.records]
        assert [record.trans_id for record in records] == [record.trans_id for record in recorded.records]
        shown = node.client.call("GetGoods", goods_id=1)
        assert "Yunnan Arabica, washed" in str(shown)
        code, lines = audit(node)
        assert code == 1
        assert all("lost-" in line for line in lines[:-1]), lines
        maker = people.maker(node.client)
        assert maker.org_id > recorded.maker.org_id
        (goods_id,) = maker.goods(1)
        assert goods_id == 3
        assert [record.status.value for record in people.settled(node.client, goods_id)] == ["success"]
        assert node.client.call("GetCirc", goods_id=1).circ_records[0].id.value == 1


@pytest.mark.parametrize("table", ["circ", "outbox", "circ_goods"])
def test_a_table_that_can_not_be_read_is_had_again(data_dir: Path, table: str) -> None:
    before = content(data_dir)
    index = data_dir / "index.sqlite3"
    with closing(sqlite3.connect(index)) as opened:
        (page,) = opened.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", [table]).fetchone()
        (size,) = opened.execute("PRAGMA page_size").fetchone()
    with open(index, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    found = differences(data_dir)
    assert found[0].startswith("index: ")
    done = reindex(data_dir)
    assert (done.exit_code, done.output.endswith(WHOLE)) == (0, True), done.output
    assert differences(data_dir) == []
    again = content(data_dir)
    assert again["circ_goods"] == before["circ_goods"]
    assert [row[:7] for row in again["circ"]] == [row[:7] for row in before["circ"]]  # all up to the outbox's own ids


def test_forms_come_from_an_export_or_are_missing(data_dir: Path, tmp_path: Path) -> None:
    exported = CliRunner().invoke(main, ["forms", "export", "--data-dir", str(data_dir)])
    assert exported.exit_code == 0
    export = tmp_path / "forms.jsonl"
    export.write_text(exported.stdout)
    assert len(exported.stdout.splitlines()) == 4
    shutil.rmtree(data_dir / "files")
    sql(data_dir, "DELETE FROM circ WHERE circ_type = 4")
    lost = reindex(data_dir)
    assert (lost.exit_code, lost.output.endswith("1 forms missing, 0 losses\n")) == (1, True), lost.output
    assert differences(data_dir) == ["goods 1: circ 2: form and salt do not give the digest on chain"]
    bad = tmp_path / "bad.jsonl"
    bad.write_text(export.read_text() + '{"salt": "00", "form": ""}\n')
    refused = reindex(data_dir, "--forms", str(bad))
    assert (refused.exit_code, "line 5 is no form" in refused.output) == (2, True)
    assert reindex(data_dir, "--forms", str(export)).exit_code == 0
    assert differences(data_dir) == []


def test_forms_come_from_another_node(data_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(data_dir, tmp_path / "other")
    shutil.rmtree(data_dir / "files")
    sql(data_dir, "UPDATE circ SET form = x'7b7d'")
    with running(tmp_path / "other") as other:
        assert reindex(data_dir, "--files", f"http://{other.ready['http']}").exit_code == 0
    assert differences(data_dir) == []


def test_what_can_not_be_done_exits_2_and_changes_nothing(recorded: Recorded, data_dir: Path, tmp_path: Path) -> None:
    before = content(data_dir)
    other_key = tmp_path / "other.key"
    other_key.write_text(signer.new_key().hex())
    for given, why in (
        (["--contract", "0x" + "11" * 20], f"the index belongs to contract {recorded.contract}"),
        (["--chain", "http://127.0.0.1:1"], "can't be reached"),
        (["--chain", "nonsense"], "--chain nonsense: want"),
        (["--files", "nonsense"], "--files nonsense: want"),
        (["--forms", str(tmp_path / "none")], "No such file"),
        (["--signer-key", str(other_key)], "the contract's signer is 0x"),
    ):
        refused = reindex(data_dir, *given)
        assert (refused.exit_code, refused.stdout) == (2, ""), refused.output
        assert why in refused.stderr
    assert content(data_dir) == before
    with running(data_dir):
        refused = reindex(data_dir)
        assert (refused.exit_code, "another node runs on it" in refused.stderr) == (2, True)
    assert reindex(tmp_path / "nowhere").exit_code == 2
