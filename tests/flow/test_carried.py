"""A circ that somebody else hands over first: anyone may send what an operator signed."""

from __future__ import annotations

from pathlib import Path

from node.chain import contract, signer
from node.chain.fees import Fees
from tests.chain.servers import fund
from tests.support import people
from tests.support.node import eventually

from .world import FIRST_IN_BLOCK_WEI, Net, config, in_index, started


def test_a_circ_that_a_stranger_carried_first_is_a_success(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        carrier = people.transporter(node.client)
        goods_id, other_goods = maker.goods(2)
        # So that both actors are registered before it matters.
        maker.boss.call("CreateCirc", goods_id=other_goods, circ_type=3, to=carrier.username)
        people.settled(node.client, other_goods)
        stranger = signer.new_key()
        fund(net.rpc, signer.address_of(stranger))

        net.mining(False)
        moved = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=3, to=carrier.username).trans_id.value
        stood_on_it = carrier.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
        eventually(lambda: net.in_pool(stood_on_it))
        (seen,) = net.chain.transactions([moved])
        assert seen is not None
        copied = signer.sign_transaction(
            stranger,
            chain_id=net.chain.chain_id(),
            nonce=0,
            to=node.ready.contract,
            data=seen.input,
            gas=500_000,
            fees=Fees(2 * FIRST_IN_BLOCK_WEI, FIRST_IN_BLOCK_WEI),
        )
        assert net.chain.send([copied.raw]) == [None]
        net.mining(True)
        net.mine()

        records = people.settled(node.client, goods_id)
        assert [(r.circ_type, r.status.value, r.times.value) for r in records] == [
            (0, "success", 0),
            (3, "success", 1),
            (1, "success", 2),
        ]
        assert (records[1].trans_id.value, records[1].tx_hash.value) == (moved, copied.hash)
        (own, other) = net.chain.receipts([moved, copied.hash])
        assert own is not None
        assert other is not None
        assert (own.status, other.status) == (False, True)
        assert isinstance(contract.decode_log(other.logs[0].topics, other.logs[0].data), contract.Circulated)
        assert in_index(goods_id) == net.goods(node.ready.contract, goods_id)
