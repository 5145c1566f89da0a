"""A node whose lanes' keys a signing service keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from node.chain import signer
from node.domain.records import UNFINISHED
from node.errors import SetupError
from node.flow.lanes import open_remote_lanes
from node.store import outbox, progress
from node.store.db import Store
from node.store.seal import Seal
from tests.chain.servers import fund
from tests.chain.signing import SigningService, served
from tests.store import rows
from tests.support import people
from tests.support.node import eventually
from tests.support.wire_client import Refusal

from .world import Net, config, in_index, started

KEYS = [bytes([number]) * 32 for number in range(21, 25)]
HELD = {signer.address_of(key): signer.HeldKey(key) for key in KEYS}
ADDRESSES = sorted(HELD)


def test_lanes_that_signed_before_stay_in_their_order_while_keys_come_and_go(tmp_path: Path) -> None:
    seal, store = Seal(bytes(32)), Store(tmp_path / "index.sqlite3")
    try:
        some = {address: HELD[address] for address in ADDRESSES[1:3]}
        lanes = open_remote_lanes(seal, some, 1)
        assert (lanes.open, lanes.all, lanes.is_one) == ((ADDRESSES[1],), (ADDRESSES[1],), True)
        with store.write():
            progress.open_lanes(ADDRESSES[2:0:-1])
        lanes = open_remote_lanes(seal, HELD, 3)
        assert lanes.open == (ADDRESSES[2], ADDRESSES[1], ADDRESSES[0])
        assert open_remote_lanes(seal, HELD, 1).all == (ADDRESSES[2], ADDRESSES[1])
        with pytest.raises(SetupError, match="--signers 5: the signing service has 4 keys"):
            open_remote_lanes(seal, HELD, 5)
        with store.write():
            rows.transaction(0, signer=ADDRESSES[1])
        with pytest.raises(SetupError, match=f"signer {ADDRESSES[1]} has transactions on their way: add its key"):
            open_remote_lanes(seal, {ADDRESSES[2]: HELD[ADDRESSES[2]]}, 1)
    finally:
        store.close()


def test_a_node_signs_by_the_service_and_records_nothing_while_it_is_away(net: Net, tmp_path: Path) -> None:
    service = SigningService(*KEYS[:2])
    for address in HELD:
        fund(net.rpc, address)
    with served(service) as url:
        given = replace(config(tmp_path / "d", net.url), signer=url, signers=2)
        with started(given) as node:
            maker = people.maker(node.client)
            (goods_id,) = maker.goods(1)
            people.settled(node.client, goods_id)
            before = outbox.count(UNFINISHED), in_index(goods_id)
            service.status = 503
            with pytest.raises(Refusal, match="nothing was recorded: try again") as refused:
                maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
            assert refused.value.status == "UNAVAILABLE"
            assert (outbox.count(UNFINISHED), in_index(goods_id)) == before
            assert len(people.history(node.client, goods_id)) == 1
            service.status = 200

            def record() -> str:
                try:
                    maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
                except Refusal as refusal:
                    return "" if refusal.status == "UNAVAILABLE" else refusal.status
                return "recorded"

            assert eventually(record) == "recorded"
            records = people.settled(node.client, goods_id)
            assert [one.status.value for one in records] == ["success"] * 2
            senders = {str(net.ask("eth_getTransactionByHash", one.trans_id.value)["from"]) for one in records}
            assert senders <= {address.lower() for address in HELD}
        again = config(tmp_path / "d", net.url)
        with started(replace(given, signers=1)) as node:
            assert len(people.history(node.client, goods_id)) == 2
        with pytest.raises(SetupError, match="signer"), started(again):
            pass
