"""What became of a caller while its call waited for the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.chain import contract
from node.domain.model import CircType, Rights
from node.errors import VTraceError
from node.flow.callers import fresh
from node.store import circs
from node.store import people as users
from tests.support import people

from .world import Net, Registrar, config, started


def test_a_call_that_waited_longer_than_its_caller_lived_is_refused(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        early = users.user_called(maker.boss.username)
        assert early is not None
        found = circs.actor_of(early.id)
        assert found is not None
        maker.boss.call("DeleteUser")
        with pytest.raises(VTraceError, match="revoked"):
            node.node.recorder.create(early, CircType.PROCESS, [goods_id], "", b"")
        with pytest.raises(VTraceError, match="revoked"):
            fresh(early)
        actor, _ = circs.actor_of(early.id) or (None, b"")
        assert actor is not None
        assert actor.rights == Rights.NONE
        assert [record.circ_type for record in people.history(node.client, goods_id)] == [0]


def test_goods_whose_first_produce_circ_failed_never_came_to_be(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        maker = people.maker(node.client)
        (first,) = maker.goods(1)
        people.settled(node.client, first)
        registrar = Registrar(net, node.ready.contract)
        found = users.user_called(maker.boss.username)
        assert found is not None
        held = circs.actor_of(found.id)
        assert held is not None
        net.mining(False)
        registrar.send(contract.set_rights_data(held[0].id, Rights.CIRCULATE))
        (never,) = maker.goods(1)
        net.mining(True)
        net.mine()
        assert [record.status.value for record in people.settled(node.client, never)] == ["failed"]
        for circ_type in (0, 1, 4):
            with pytest.raises(people.Refusal) as refused:
                maker.boss.call("CreateCirc", goods_id=never, circ_type=circ_type)
            assert (refused.value.status, refused.value.reason) == ("FAILED_PRECONDITION", "NOT_OWNER")
