"""kill -9 straight after an answer, at random moments under load: no answered circ is lost or doubled."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import people
from tests.support.load import Load, books
from tests.support.node import RunningNode

KILLS = 50
CALLERS = 4
ANSWERS_BEFORE_KILL_MAX = 12


@pytest.mark.timeout(600)
def test_no_answered_circ_is_lost_or_doubled(tmp_path: Path) -> None:
    dice = random.Random(20261123)
    data_dir = tmp_path / "data"
    node = RunningNode(data_dir)
    maker = people.maker(node.client)
    goods = maker.goods(16)
    answered: dict[str, list[int]] = {}
    for _ in range(KILLS):
        kill_after, kill = dice.randint(1, ANSWERS_BEFORE_KILL_MAX), node.kill_now

        def each(count: int, kill_after: int = kill_after, kill: Callable[[], None] = kill) -> None:
            if count == kill_after:
                kill()

        load = Load(node.ready["grpc"], maker.boss.client.token, goods, CALLERS, each)
        load.run()
        node.reap()
        assert not load.faults
        assert not answered.keys() & load.answered.keys()
        answered.update(load.answered)
        node = RunningNode(data_dir)
    try:
        assert books(node.client, goods, answered).balance
        assert len(answered) >= KILLS
        audit = node.command(
            "audit", "--node", node.ready["grpc"], "--rpc", node.rpc_url, "--all", "--contract", node.ready["contract"]
        )
        assert audit.returncode == 0, audit.stdout + audit.stderr
    finally:
        assert node.stop() == 0
