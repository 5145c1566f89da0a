"""A node works on with an index that scripts/load_index made."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from rich.console import Console

from scripts import load_index
from tests.support import people
from tests.support.node import running

GOODS, CIRCS = 30, 120


def test_a_node_shows_what_was_loaded_and_goes_on_recording(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    load_index.load(data_dir, GOODS, CIRCS, 1, None, Console(file=StringIO()))
    with running(data_dir) as node:
        first = load_index.REAL_GOODS + 1
        histories = [people.history(node.client, goods_id) for goods_id in range(first, first + GOODS)]
        assert sum(len(records) for records in histories) == GOODS + CIRCS - 1  # one circ made all of the goods
        for records in histories:
            assert [record.times.value for record in records] == list(range(len(records)))
            assert {record.status.value for record in records} == {"success"}
        maker = people.maker(node.client)
        made = maker.goods(3)
        assert made == [first + GOODS, first + GOODS + 1, first + GOODS + 2]
        assert [record.status.value for record in people.settled(node.client, made[0])] == ["success"]
