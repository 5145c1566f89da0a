"""``--publish-forms``: every circ's salt and form under the CID that the chain's digest gives, whatever happens."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
from click.testing import CliRunner

from node.cli import main
from node.domain import cid as cids
from node.domain.form import form_digest
from tests.api.test_journey import _salt as salt_of
from tests.chain.servers import free_port
from tests.files.daemon import daemon
from tests.support import people
from tests.support.node import RunningNode, eventually, running

FORM = '{"score":85.75,"note":"茶"}'.encode()


def cid_of(record: Any) -> str:
    """As anyone computes it who has the digest from the chain."""
    return str(cids.Cid(cids.RAW, form_digest(salt_of(record), block_of(record)[16:])))


def block_of(record: Any) -> bytes:
    form: bytes = record.from_value.value.encode()
    return salt_of(record) + form


def served(node: RunningNode, records: list[Any]) -> list[httpx.Response]:
    """The blocks of circs, once all are there."""
    urls = [f"http://{node.ready['http']}/ipfs/{cid_of(record)}" for record in records]
    eventually(lambda: all(httpx.head(url).status_code == 200 for url in urls))
    return [httpx.get(url) for url in urls]


def verify(data_dir: Path, node: RunningNode, *args: str) -> tuple[int, list[str]]:
    done = node.command("files", "verify", "--data-dir", str(data_dir), *args)
    return done.returncode, done.stdout.splitlines()


def test_forms_are_published_and_served_as_downloads(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    node = RunningNode(data_dir)
    maker = people.maker(node.client)
    (first, *_) = maker.goods(2)
    maker.boss.call("CreateCirc", goods_id=first, circ_type=1, form_value=FORM)
    earlier = people.settled(node.client, first)
    assert httpx.get(f"http://{node.ready['http']}/ipfs/{cid_of(earlier[1])}").status_code == 404
    node.kill()

    node = RunningNode(data_dir, "--publish-forms")
    client = node.client.with_token(maker.boss.client.token)
    client.call("CreateCirc", goods_id=first, circ_type=4, form_value=b"")
    node.kill()  # whatever was published by now, nothing is left out

    with running(data_dir, "--publish-forms") as node:
        records = people.settled(node.client, first)
        assert [record.circ_type for record in records] == [0, 1, 4]
        for record, answer in zip(records, served(node, records), strict=True):
            assert answer.content == block_of(record)
            assert answer.headers["content-type"] == "application/octet-stream"
            assert answer.headers["content-disposition"].startswith("attachment")
        size = sum(len(block_of(record)) for record in records)
        assert verify(data_dir, node) == (0, [f"files: 3 files, {size} bytes, 0 damaged"])

    with running(data_dir) as node:  # switched off again: what is public stays so
        assert [answer.status_code for answer in served(node, records)] == [200] * 3
        (block,) = (data_dir / "files").rglob(cid_of(records[1]))
        block.write_bytes(b"something else")
        code, (line, _) = verify(data_dir, node)
        assert (code, line.split(": ")[0]) == (1, cid_of(records[1]))


def test_a_daemon_that_is_away_holds_up_nothing_and_gets_all_later(tmp_path: Path) -> None:
    port, repo, data_dir = free_port(), tmp_path / "repo", tmp_path / "d"
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as opened:
        with running(data_dir, "--publish-forms", "--ipfs", url) as node:
            maker = people.maker(node.client)
            (goods_id,) = maker.goods(1)
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1, form_value=FORM)
            records = people.settled(node.client, goods_id)
            assert [record.status.value for record in records] == ["success"] * 2
            eventually(lambda: "forms wait to be published" in node.log())
            opened.enter_context(daemon(repo, port))
            assert [answer.content for answer in served(node, records)] == [block_of(one) for one in records]
            assert verify(data_dir, node, "--ipfs", url)[0] == 0
            pinned = httpx.post(f"{url}/api/v0/pin/ls", params={"type": "recursive"}).text
            assert httpx.post(f"{url}/api/v0/block/get", params={"arg": cid_of(records[1])}).content.endswith(FORM)
            assert pinned.count("recursive") >= 2
        # What the daemon has is found again by the digest on chain.
        with closing(sqlite3.connect(data_dir / "index.sqlite3")) as index, index:
            index.execute("UPDATE circ SET form = x'7b7d'")
        given = ["--data-dir", str(data_dir), "--ipfs", url]
        assert CliRunner().invoke(main, ["reindex", *given]).exit_code == 0
        assert CliRunner().invoke(main, ["reindex", "--check", *given]).exit_code == 0
