"""A circ that the chain reverts, and what stood on it."""

from __future__ import annotations

from pathlib import Path

from node.chain import contract, signer
from node.domain.model import Rights
from node.store import circs
from node.store import people as users
from node.store.products import goods_of
from tests.chain.echo import mined
from tests.support import people
from tests.support.node import eventually
from tests.support.wire_client import WireClient

from .world import Net, Registrar, config, in_index, started


def _history(client: WireClient, goods_id: int) -> list[tuple[int, str, int | None]]:
    """Kind, status and times of each circ."""
    return [
        (record.circ_type, record.status.value, record.times.value if record.HasField("times") else None)
        for record in people.settled(client, goods_id)
    ]


def _actor(person: people.Person) -> int:
    user = users.user_called(person.username)
    assert user is not None
    found = circs.actor_of(user.id)
    assert found is not None
    return found[0].id


def test_a_reverted_circ_fails_with_what_stood_on_it_and_nothing_else(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        client = node.client
        disabled, other, judge = people.maker(client), people.maker(client), people.register(client)
        node.node.people.grant(judge.username, "examiner")
        (first,), (second, third) = disabled.goods(1), other.goods(2)
        people.settled(client, third)
        registrar = Registrar(net, node.ready.contract)

        net.mining(False)
        registrar.set_rights(_actor(disabled.boss), Rights.NONE)
        (never,) = disabled.goods(1)
        assert goods_of(disabled.serial_id, 1, 9) == ([first, never], 2)
        reverted = disabled.boss.call("CreateCirc", goods_id=first, circ_type=1).trans_id.value
        stood_on_it = judge.call("BatchCirc", goods_ids=[first, second], circ_type=4).goodsId2transId[first]
        stood_on_that = other.boss.call("CreateCirc", goods_id=second, circ_type=1).trans_id.value
        apart = other.boss.call("CreateCirc", goods_id=third, circ_type=3, to=disabled.boss.username).trans_id.value
        eventually(lambda: net.in_pool(apart))
        assert in_index(first).times == 3
        net.mining(True)
        net.mine()

        assert _history(client, first) == [(0, "success", 0), (1, "failed", None), (4, "failed", None)]
        assert _history(client, second) == [(0, "success", 0), (4, "failed", None), (1, "failed", None)]
        assert _history(client, third) == [(0, "success", 0), (3, "success", 1)]
        assert _history(client, never) == [(0, "failed", None)]
        assert goods_of(disabled.serial_id, 1, 9) == ([first], 1)  # no label for what never came to be
        shown = [record.trans_id.value for record in people.history(client, first)]
        assert shown[1:] == [reverted, stood_on_it]
        receipts = net.chain.receipts([reverted, stood_on_it, stood_on_that, apart])
        assert [receipt is not None and receipt.status for receipt in receipts] == [False, False, False, True]
        for goods_id in (first, second, third):
            assert in_index(goods_id) == net.goods(node.ready.contract, goods_id)
        assert in_index(third).holder == _actor(disabled.boss)

        mined(net.chain, [registrar.set_rights(_actor(disabled.boss), Rights.CIRCULATE | Rights.PRODUCE)])
        disabled.boss.call("BatchCirc", goods_ids=[first, third], circ_type=1)
        other.boss.call("CreateCirc", goods_id=second, circ_type=1)
        assert _history(client, first)[3:] == [(1, "success", 1)]
        assert _history(client, second)[3:] == [(1, "success", 1)]
        assert _history(client, third)[2:] == [(1, "success", 2)]
        for goods_id in (first, second, third):
            assert in_index(goods_id) == net.goods(node.ready.contract, goods_id)
        assert node.node.fault is None


def test_what_is_recorded_on_a_circ_that_is_reverted_already_fails_too(net: Net, tmp_path: Path) -> None:
    """The chain has refused it, but the index waits for confirmations and does not know."""
    with started(config(tmp_path / "d", net.url, net.key_file, confirmations=3)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        eventually(lambda: people.history(node.client, goods_id)[0].tx_hash.value)
        net.mine(3)
        people.settled(node.client, goods_id)
        registrar = Registrar(net, node.ready.contract)
        mined(net.chain, [registrar.set_rights(_actor(maker.boss), Rights.NONE)])
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        eventually(lambda: people.history(node.client, goods_id)[1].tx_hash.value)
        mined(net.chain, [registrar.set_rights(_actor(maker.boss), Rights.CIRCULATE)])
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=4)
        eventually(lambda: people.history(node.client, goods_id)[2].tx_hash.value)
        net.mine(3)
        assert _history(node.client, goods_id) == [(0, "success", 0), (1, "failed", None), (4, "failed", None)]
        assert in_index(goods_id) == net.goods(node.ready.contract, goods_id)


def test_somebody_elses_actors_stop_the_node(net: Net, tmp_path: Path) -> None:
    """The number that an actor was to have is taken: every later circ would name a stranger."""
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        (goods_id,) = people.maker(node.client).goods(1)
        people.settled(node.client, goods_id)
        registrar = Registrar(net, node.ready.contract)
        own = signer.address_of(signer.new_key())
        mined(net.chain, [registrar.send(contract.register_actor_data(own, Rights.CIRCULATE, b"n" * 32))])
        people.maker(node.client).goods(1)
        assert "somebody else registers actors at this contract" in str(node.fault())
