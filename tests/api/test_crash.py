"""kill -9 straight after an answer, at random moments under load: no answered circ is lost or doubled."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.support import people
from tests.support.node import RunningNode
from tests.support.people import Maker
from tests.support.wire_client import Refusal, WireClient

KILLS = 50
CALLERS = 4
ANSWERS_BEFORE_KILL_MAX = 12


class Load:
    """Callers that record circs until the node is gone; ``answered`` is what they were told."""

    def __init__(self, node: RunningNode, maker: Maker, goods: list[int], kill_after: int) -> None:
        self.answered: dict[str, list[int]] = {}
        self.faults: list[Refusal] = []
        self._maker = maker
        self._node = node
        self._kill_after = kill_after
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._call, args=(goods[caller::CALLERS],)) for caller in range(CALLERS)
        ]

    def run(self) -> None:
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _call(self, goods: list[int]) -> None:
        client = WireClient(self._node.ready["grpc"], self._maker.boss.client.token)
        try:
            for number in range(1_000):
                try:
                    if number % 3 == 2:
                        answer = client.call("BatchCirc", goods_ids=goods, circ_type=1, form_info=b'{"batch":1}')
                        told = {answer.goodsId2transId[goods[0]]: goods}
                    else:
                        one = goods[number % len(goods)]
                        told = {client.call("CreateCirc", goods_id=one, circ_type=1).trans_id.value: [one]}
                except Refusal as refusal:
                    if refusal.status not in ("UNAVAILABLE", "CANCELLED"):
                        self.faults.append(refusal)
                    return
                with self._lock:
                    self.answered.update(told)
                    if len(self.answered) == self._kill_after:
                        self._node.kill_now()
        finally:
            client.close()


@pytest.mark.timeout(600)
def test_no_answered_circ_is_lost_or_doubled(tmp_path: Path) -> None:
    dice = random.Random(20261123)
    data_dir = tmp_path / "data"
    node = RunningNode(data_dir)
    maker = people.maker(node.client)
    goods = maker.goods(16)
    answered: dict[str, list[int]] = {}
    for _ in range(KILLS):
        load = Load(node, maker, goods, dice.randint(1, ANSWERS_BEFORE_KILL_MAX))
        load.run()
        node.reap()
        assert not load.faults
        assert not answered.keys() & load.answered.keys()
        answered.update(load.answered)
        node = RunningNode(data_dir)
    try:
        seen: Counter[tuple[str, int]] = Counter()
        for goods_id in goods:
            records = people.settled(node.client, goods_id)
            assert [record.times.value for record in records] == list(range(len(records)))
            assert {record.status.value for record in records} == {"success"}
            seen.update((record.trans_id.value, goods_id) for record in records)
        assert set(seen.values()) == {1}
        for trans_id, of_goods in answered.items():
            for goods_id in of_goods:
                assert (trans_id, goods_id) in seen
        assert len(answered) >= KILLS
        audit = node.command(
            "audit", "--node", node.ready["grpc"], "--rpc", node.rpc_url, "--all", "--contract", node.ready["contract"]
        )
        assert audit.returncode == 0, audit.stdout + audit.stderr
    finally:
        assert node.stop() == 0
