"""Holder and times of many goods at once."""

from __future__ import annotations

import pytest

from node.domain.custody import GoodsState
from node.store import circs
from node.store.db import Store

from . import rows


@pytest.mark.parametrize("outbox_id", [None, 7])
@pytest.mark.parametrize("kinds", [1, 2, 50])
def test_goods_get_their_states_whether_many_share_one_or_not(store: Store, kinds: int, outbox_id: int | None) -> None:
    rows.prepared(store, 1, 101)
    kept = GoodsState(9, 9)
    states = {number: GoodsState(1 + number % kinds, 1 + number % kinds) for number in range(1, 101)}
    with store.write():
        circs.set_custody({101: kept}, 3)
        circs.set_custody(states, outbox_id)
    assert {goods_id: state for goods_id, (state, _) in circs.custody(range(1, 102)).items()} == {**states, 101: kept}
    assert circs.stood_on(range(1, 102), ()) == ({3} if outbox_id is None else {3, outbox_id})
