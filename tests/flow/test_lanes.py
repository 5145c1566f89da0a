"""Several signers: who signs what, in which order it goes out, and who runs out of funds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from node.chain import signer
from node.domain.records import UNFINISHED, MinedTx, TxState
from node.errors import SetupError
from node.flow.lanes import Lanes, open_lanes
from node.store import outbox, progress, tables
from node.store.db import Store
from node.store.seal import Seal
from tests.chain.servers import fund
from tests.store import rows
from tests.support import people
from tests.support.node import eventually

from .world import Net, Running, config, in_index, started

KEYS = [bytes([number]) * 32 for number in range(1, 5)]
HELD = [signer.HeldKey(key) for key in KEYS]
ADDRESSES = [signer.address_of(key) for key in KEYS]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "index.sqlite3")
    yield opened
    opened.close()


def _in_lane(place: int) -> int:
    nonce = outbox.next_nonce(ADDRESSES[place])
    return rows.transaction(0 if nonce is None else nonce, signer=ADDRESSES[place])


def test_lanes_take_turns(store: Store) -> None:
    lanes = Lanes(HELD[:3])
    with store.write():
        assert [lanes.place(()).signer for _ in range(6)] == ADDRESSES[:3] * 2


def test_a_poor_lane_is_passed_over_unless_all_are_poor(store: Store) -> None:
    lanes = Lanes(HELD[:3])
    lanes.low = frozenset(ADDRESSES[1:2])
    with store.write():
        assert {lanes.place(()).signer for _ in range(6)} == {ADDRESSES[0], ADDRESSES[2]}
        lanes.low = frozenset(ADDRESSES[:3])
        assert {lanes.place(()).signer for _ in range(6)} == set(ADDRESSES[:3])


def test_what_stands_on_unfinished_transactions_follows_the_last_and_waits_for_the_others(store: Store) -> None:
    lanes = Lanes(HELD[:3])
    with store.write():
        first, second, third = _in_lane(1), _in_lane(2), _in_lane(2)
        assert lanes.place([first]) == lanes.place([first, first])
        assert (lanes.place([first]).signer, lanes.place([first]).waits_for) == (ADDRESSES[1], ())
        place = lanes.place([first, second, third])
        assert (place.signer, place.waits_for) == (ADDRESSES[2], (first,))
        place = lanes.place_of_registrar([first, third])
        assert (place.signer, place.waits_for) == (ADDRESSES[0], (first, third))
        outbox.mark_mined([MinedTx(third, TxState.MINED, 1, "0x1", "0x")])
        assert lanes.place([third]).signer == ADDRESSES[2]
        outbox.mark_mined([MinedTx(third, TxState.FINAL, 1, "0x1", "0x")])
        assert lanes.place([first, third]).signer == ADDRESSES[1]


def test_a_closed_lane_gets_nothing_new(store: Store) -> None:
    lanes = Lanes(HELD[:1], HELD[1:2])
    assert lanes.all == tuple(ADDRESSES[:2])
    with store.write():
        left = _in_lane(1)
        place = lanes.place([left])
    assert (place.signer, place.waits_for) == (ADDRESSES[0], (left,))


def test_keys_are_made_once_and_kept_sealed(store: Store) -> None:
    seal = Seal(bytes(32))
    three = open_lanes(store, seal, [KEYS[0]], 3)
    assert three.open[0] == ADDRESSES[0]
    assert len(set(three.open)) == 3
    assert open_lanes(store, seal, [], 3).open == three.open
    fewer = open_lanes(store, seal, [], 1)
    assert fewer.open == three.open[:1]
    assert set(fewer.all) == set(three.open)
    assert not fewer.is_one
    for place, address in enumerate(three.open):
        assert fewer.key(address).account == address
        held = three.key(address)
        assert isinstance(held, signer.HeldKey)
        assert held.key not in bytes(tables.SealedKey.select()[place].sealed)


def test_a_key_changes_only_until_its_lane_has_signed(store: Store) -> None:
    seal = Seal(bytes(32))
    open_lanes(store, seal, [], 2)
    lanes = open_lanes(store, seal, KEYS[:2], 2)
    assert lanes.open == tuple(ADDRESSES[:2])
    with store.write():
        _in_lane(1)
    with pytest.raises(SetupError, match=rf"signer is {ADDRESSES[1]}, but the key given is of {ADDRESSES[2]}"):
        open_lanes(store, seal, [KEYS[0], KEYS[2]], 2)


def test_a_key_for_two_lanes_is_refused(store: Store) -> None:
    with pytest.raises(SetupError, match="two lanes have the same key"):
        open_lanes(store, Seal(bytes(32)), [KEYS[0], KEYS[0]], 2)


def _funded(net: Net, node: Running) -> None:
    for lane in progress.lanes():
        fund(net.rpc, lane.signer)
    eventually(lambda: not node.node._ledger.lanes.low)


def test_circs_keep_their_order_across_lanes(net: Net, tmp_path: Path) -> None:
    """Goods apart and together, by several users, over three lanes, with forks in between."""
    given = replace(config(tmp_path / "d", net.url, net.key_file, confirmations=3), signers=3)
    with started(given) as node:
        _funded(net, node)
        makers = [people.maker(node.client) for _ in range(3)]
        goods = [maker.goods(4) for maker in makers]
        net.settle()
        net.ask("evm_setIntervalMining", 1)

        def work(maker: people.Maker, ids: list[int]) -> None:
            for turn in range(6):
                for goods_id in ids:
                    maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
                maker.boss.call("BatchCirc", goods_ids=ids[turn % 2 :], circ_type=4)

        with ThreadPoolExecutor(len(makers)) as threads:
            for future in [threads.submit(work, *each) for each in zip(makers, goods, strict=True)]:
                future.result()
        net.ask("anvil_reorg", 2, [])
        net.ask("evm_setIntervalMining", 0)
        net.settle()
        for ids in goods:
            for goods_id in ids:
                records = people.history(node.client, goods_id)
                assert {record.status.value for record in records} == {"success"}
                assert [record.times.value for record in records] == list(range(len(records)))
                assert in_index(goods_id) == net.goods(node.ready.contract, goods_id)
        used = Counter(lane.signer for lane in progress.lanes() if lane.next_nonce)
        assert len(used) == 3
        assert node.node.fault is None


def test_a_lane_without_funds_is_passed_over_and_told(
    net: Net, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with started(replace(config(tmp_path / "d", net.url, net.key_file), signers=2)) as node:
        eventually(lambda: len(node.node._ledger.lanes.low) == 1)
        (poor,) = node.node._ledger.lanes.low
        assert poor != signer.address_of(net.key)
        maker = people.maker(node.client)
        for goods_id in maker.goods(4):
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
            people.settled(node.client, goods_id)
        assert [lane.next_nonce is None for lane in progress.lanes()] == [False, True]
        assert f"lane {poor} runs low: it has 0 wei" in caplog.text
        _funded(net, node)
        eventually(lambda: (maker.goods(1), outbox.next_nonce(poor))[1])
        eventually(lambda: outbox.count(UNFINISHED) == 0)
