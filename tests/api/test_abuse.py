"""Others are answered while somebody attacks: scripts/abuse, small and without its clock."""

from __future__ import annotations

import httpx
import pytest

from scripts.attacks import ATTACKS, Target, under
from tests.support.node import RunningNode
from tests.support.wire_client import Refusal, WireClient

SIZE = 400
CALLS = 15


@pytest.mark.parametrize("name", list(ATTACKS))
def test_others_are_answered_meanwhile(node: RunningNode, name: str) -> None:
    with under(name, Target(node.ready["grpc"], node.ready["http"], SIZE)):
        for _ in range(CALLS):
            honest = WireClient(node.ready["grpc"])
            with pytest.raises(Refusal) as refused:
                honest.call("GetCirc", goods_id=2**31 - 1, timeout=60)
            honest.close()
            assert refused.value.status == "NOT_FOUND"
            assert httpx.get(f"http://{node.ready['http']}/t/{2**31 - 1}", timeout=60).status_code == 404
