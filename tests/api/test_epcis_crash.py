"""The process is killed while it captures a document: all of it is recorded or nothing, and never twice."""

from __future__ import annotations

import signal
from pathlib import Path

import httpx
import pytest

from tests.support import people
from tests.support.epcis import document, event
from tests.support.node import RunningNode, running

EVENTS = 5


@pytest.mark.timeout(300)
def test_a_node_that_dies_while_it_captures_does_it_once(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with running(data_dir) as node:
        maker = people.maker(node.client)
        goods = maker.goods(EVENTS)
        base = f"urn:vtrace:{node.ready['chain_id']}:{node.ready['contract'].lower()}"
    auth = {"Authorization": f"Bearer {maker.boss.client.token}"}
    body = document(*(event(f"{base}:obj:{goods_id}") for goods_id in goods))

    def post(node: RunningNode) -> httpx.Response:
        return httpx.post(f"http://{node.ready['http']}/epcis/capture", json=body, headers=auth, timeout=60)

    # In the middle of the document, and after all is on disk but before the answer.
    for name, hits in (("recorded", EVENTS - 2), ("committed", 1)):
        environment = {"VTRACE_FAULT_POINT": name, "VTRACE_FAULT_HITS": str(hits)}
        dying = RunningNode(data_dir, module="tests.support.faulty", environment=environment)
        # What the death before left: nothing.
        assert [len(people.history(dying.client, goods_id)) for goods_id in goods] == [1] * EVENTS
        assert httpx.get(f"http://{dying.ready['http']}/epcis/capture", headers=auth, timeout=60).json() == []
        with pytest.raises(httpx.TransportError):
            post(dying)
        dying.reap()
        assert dying.process.returncode == -signal.SIGKILL
    with running(data_dir) as node:
        job = post(node).json()
        assert (job["success"], len(job["recorded"]), len(job["duplicates"])) == (True, 0, EVENTS)
        for goods_id, entry in zip(goods, job["duplicates"], strict=True):
            records = people.settled(node.client, goods_id)
            assert [record.status.value for record in records] == ["success"] * 2
            assert [records[1].trans_id.value] == entry["transIDs"]
        audit = node.command(
            "audit", "--node", node.ready["grpc"], "--rpc", node.rpc_url, "--all", "--contract", node.ready["contract"]
        )
        assert audit.returncode == 0, audit.stdout + audit.stderr
