"""A node whose files are kept by an IPFS daemon: the same answers, and what an outage does."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.api.test_files import cid_of, message, random_bytes, stored, upload
from tests.chain.servers import free_port
from tests.files.daemon import daemon
from tests.support import people
from tests.support.node import RunningNode, running
from tests.support.wire_client import Refusal

SIZE = 700_000


def _verify(node: RunningNode, url: str) -> tuple[int, str]:
    done = node.command("files", "verify", "--data-dir", str(node.data_dir), "--ipfs", url)
    return done.returncode, done.stdout + done.stderr


def test_a_node_on_a_daemon(tmp_path: Path) -> None:
    port, repo, data = free_port(), tmp_path / "repo", random_bytes(SIZE)
    url = f"http://127.0.0.1:{port}"
    with running(tmp_path / "d", "--ipfs", url) as node, httpx.Client(timeout=60) as http:
        person = people.register(node.client)
        before = stored(node)
        with pytest.raises(Refusal) as refused:
            upload(person.client, message(data))
        assert (refused.value.status, refused.value.reason) == ("UNAVAILABLE", "SERVICE_OFFLINE")
        assert "again later" in refused.value.message
        assert stored(node) == before == ([], [])

        with daemon(repo, port):
            address = upload(person.client, message(data, filename="report.bin"))
            assert address == f"http://{node.ready['http']}/ipfs/{cid_of(data)}"
            assert upload(person.client, message(data)) == address
            assert http.get(address).content == data
            part = http.get(address, headers={"Range": "bytes=262000-262999"})
            assert (part.status_code, part.content) == (206, data[262_000:263_000])
            assert _verify(node, url) == (0, f"files: 1 files, {SIZE} bytes, 0 damaged\n")
            paths, rows = stored(node)
            assert (paths, len(rows)) == ([], 1)

        gone = http.get(address)
        assert gone.status_code == 503
        assert gone.headers["retry-after"]
        assert http.get(address.replace(cid_of(data), cid_of(b"x"))).status_code == 404
        assert http.head(address).status_code == 200
        code, said = _verify(node, url)
        assert code == 2
        assert "could not check" in said
        assert people.register(node.client).username

        with daemon(repo, port):
            assert http.get(address).content == data
