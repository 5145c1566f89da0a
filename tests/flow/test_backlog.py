"""The backlog limit: the one thing by which a chain that stays away reaches a caller."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from node.flow import ledger
from tests.support import people
from tests.support.wire_client import Refusal

from .world import Net, config, in_index, started


def test_a_full_backlog_refuses_with_advice_and_drains(net: Net, tmp_path: Path) -> None:
    with started(replace(config(tmp_path / "d", net.url, net.key_file), backlog_max=5)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        net.mining(False)
        for _ in range(5):
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        with pytest.raises(Refusal) as refused:
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        assert (refused.value.status, refused.value.reason) == ("RESOURCE_EXHAUSTED", "CREATE_CIRC_FAILED")
        assert refused.value.metadata == {"backlog": "5", "backlog_max": "5"}
        retry = error_details_pb2.RetryInfo()
        details = rpc_status.from_call(refused.value.__cause__).details
        assert any(detail.Unpack(retry) for detail in details)
        assert retry.retry_delay.seconds == ledger.RETRY_SECONDS
        with pytest.raises(Refusal, match="RESOURCE_EXHAUSTED"):
            maker.goods(1)
        assert in_index(goods_id).times == 6

        net.mining(True)
        net.mine()
        assert [record.status.value for record in people.settled(node.client, goods_id)] == ["success"] * 6
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        assert len(people.settled(node.client, goods_id)) == 7
