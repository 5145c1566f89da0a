"""The process is killed at every named point between authentication and final: nothing that was answered is lost."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from node import faults
from node.chain import signer
from node.chain.transport import HttpRpc
from tests.chain.servers import anvil, fund
from tests.support import people
from tests.support.load import Load, books
from tests.support.node import RunningNode, running

NODE = Path(faults.__file__).parent
CALLERS = 4
HITS = 6
"""At which passing of a point the node dies: late enough for a few answers before."""
ANSWERS_MAX = 2_000
PAUSE_SECONDS = 0.02
"""Between two calls of a caller, so that sender and confirmer make steps enough before there are ANSWERS_MAX."""


def test_every_point_stands_in_the_code() -> None:
    named = [
        name
        for path in sorted(NODE.rglob("*.py"))
        for name in re.findall(r'\bpoint\("([^"]+)"\)', path.read_text(encoding="utf-8"))
    ]
    assert set(named) == set(faults.POINTS)
    assert len(faults.POINTS) == len(set(faults.POINTS))


def test_nothing_happens_at_a_point_of_a_node() -> None:
    for name in faults.POINTS:
        faults.point(name)
    assert all("VTRACE_FAULT" not in path.read_text(encoding="utf-8") for path in NODE.rglob("*.py"))


@pytest.mark.timeout(600)
def test_a_node_that_dies_at_any_point_loses_nothing(tmp_path: Path) -> None:
    """One data directory goes through a death at every point; each start is the one after the last death."""
    data_dir, key, key_file = tmp_path / "data", signer.new_key(), tmp_path / "signer.key"
    key_file.touch(0o600)
    key_file.write_text(key.hex())
    answered: dict[str, list[int]] = {}
    with anvil() as url:
        rpc = HttpRpc(url)
        fund(rpc, signer.address_of(key))
        rpc.close()
        options = ("--chain", url, "--signer-key", str(key_file), "--confirmations", "1")
        with running(data_dir, *options) as node:
            maker = people.maker(node.client)
            goods = maker.goods(8)
        for name in faults.POINTS:
            load = _until_death_at(name, data_dir, options, maker.boss.client.token, goods)
            assert not answered.keys() & load.answered.keys()
            answered.update(load.answered)
        with running(data_dir, *options) as node:
            found = books(node.client, goods, answered)
            assert found.balance, found
            audit = node.command(
                "audit", "--node", node.ready["grpc"], "--rpc", url, "--all", "--contract", node.ready["contract"]
            )
            assert audit.returncode == 0, audit.stdout + audit.stderr


def _until_death_at(name: str, data_dir: Path, options: tuple[str, ...], token: str | None, goods: list[int]) -> Load:
    environment = {"VTRACE_FAULT_POINT": name, "VTRACE_FAULT_HITS": str(HITS)}
    node = RunningNode(data_dir, *options, module="tests.support.faulty", environment=environment)

    def each(count: int) -> None:
        if count == ANSWERS_MAX:
            load.halt()

    load = Load(node.ready["grpc"], token, goods, CALLERS, each, PAUSE_SECONDS)
    load.run()
    node.reap()
    assert node.process.returncode == -signal.SIGKILL, f"it never came to {name}"
    assert load.faults == []
    return load
