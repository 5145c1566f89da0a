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
    # In the middle of the document; before it, the produce circ of the goods passes the point as well.
    node = _mortal(data_dir, "recorded", 1 + EVENTS - 2)
    maker = people.maker(node.client)
    goods = maker.goods(EVENTS)
    base = f"urn:vtrace:{node.ready['chain_id']}:{node.ready['contract'].lower()}"
    auth = {"Authorization": f"Bearer {maker.boss.client.token}"}
    body = document(*(event(f"{base}:obj:{goods_id}") for goods_id in goods))

    def post(node: RunningNode) -> httpx.Response:
        return httpx.post(f"http://{node.ready['http']}/epcis/capture", json=body, headers=auth, timeout=60)

    def dies(node: RunningNode) -> None:
        with pytest.raises(httpx.TransportError):
            post(node)
        node.reap()
        assert node.process.returncode == -signal.SIGKILL

    dies(node)
    # After all is on disk, but before the answer.
    node = _mortal(data_dir, "committed", 1)
    assert [len(people.history(node.client, goods_id)) for goods_id in goods] == [1] * EVENTS
    assert httpx.get(f"http://{node.ready['http']}/epcis/capture", headers=auth, timeout=60).json() == []
    dies(node)
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


def _mortal(data_dir: Path, point: str, hits: int) -> RunningNode:
    """A node that dies when it passes a point for the so-manieth time."""
    environment = {"VTRACE_FAULT_POINT": point, "VTRACE_FAULT_HITS": str(hits)}
    return RunningNode(data_dir, module="tests.support.faulty", environment=environment)
