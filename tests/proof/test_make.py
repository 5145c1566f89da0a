"""Making proofs: a node or an endpoint that lies is named, and what is not on the chain is left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from node.chain.transport import METHOD_NOT_FOUND, RpcError
from node.domain.model import Rights
from node.flow.audit import ShownGoods, Unanswered, Unreadable
from node.flow.proof import ProofImpossible, make, verify
from tests.audit.world import PROCESS, PRODUCE, TRANSFER, WALLET, Tampered, View, World, new_world
from tests.proof.conftest import GOODS, Given


class _Mute:
    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    def history(self, _: int) -> ShownGoods | None:
        raise self._fault


@pytest.fixture
def view(world: World) -> View:
    return world.view.copy()


def _fails(world: World, view: Any, match: str, goods_id: int = GOODS, rpc: Any = None) -> None:
    with pytest.raises(ProofImpossible, match=match) as caught:
        make(view, rpc or world.rpc, world.address, goods_id)
    assert str(caught.value).isprintable()


def test_goods_that_nobody_knows(world: World, view: View) -> None:
    _fails(world, view, "the node doesn't know them", goods_id=99)
    view.goods[99] = view.goods[18]
    _fails(world, view, "taken no circ of them yet", goods_id=99)


def test_a_node_that_can_not_be_asked(world: World) -> None:
    _fails(world, _Mute(Unanswered("the node is away")), "the node is away")
    _fails(world, _Mute(Unreadable("the answer is \x1b[31mrubbish")), "rubbish")


def test_a_node_that_hides_a_circ(world: World, view: View) -> None:
    view.show(GOODS, view.circs(GOODS)[1:])
    _fails(world, view, "the contract counts 6 circs, the node shows 5")


def test_a_node_that_shows_a_success_as_failed(world: World, view: View) -> None:
    view.change(GOODS, 2, status="failed")
    _fails(world, view, "the contract counts 6 circs, the node shows 5")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"form": b'{"cup_score": 99}'}, "form and salt that the node shows are not those"),
        ({"salt": bytes(16)}, "form and salt that the node shows are not those"),
        ({"salt": b""}, "a salt of 0 bytes"),
        ({"operator": "roaster", "to": "roaster"}, "registered under another username"),
        ({"operator": None}, "no name, or several"),
        ({"to": "coop"}, "no name, or several"),
        ({"tx_hash": "0x12", "trans_id": "rubbish"}, "the node shows 5"),
        ({"tx_hash": "0x" + "é" * 64, "trans_id": None}, "the node shows 5"),
    ],
)
def test_a_node_that_shows_a_circ_otherwise(world: World, view: View, changes: dict[str, Any], match: str) -> None:
    view.change(GOODS, 2, **changes)
    _fails(world, view, match)


def test_the_order_and_the_status_that_a_node_shows_do_not_matter(world: World, view: View, given: Given) -> None:
    circs = view.circs(GOODS)
    view.show(GOODS, [*reversed(circs), circs[0]])
    for index in range(6):
        view.change(GOODS, index + 1, times=77, status="pending" if index % 2 else "success")
    assert make(view, world.rpc, world.address, GOODS).proof == given.proof


@pytest.mark.parametrize(
    ("method", "change", "match"),
    [
        ("eth_getCode", lambda _: "0x00", "not the contract that this program knows"),
        ("eth_getBlockByNumber", lambda block: block | {"gasUsed": "0x1"}, "don't give its hash"),
        ("eth_getBlockByNumber", lambda block: block | {"extraData": 5}, "has a wrong extraData"),
        ("eth_getBlockReceipts", lambda found: found and [found[0] | {"cumulativeGasUsed": "0x1"}], "receiptsRoot"),
        ("eth_getBlockReceipts", lambda found: [*found, *found], "receiptsRoot"),
        ("eth_getBlockReceipts", lambda _: "rubbish", "want an array"),
        ("eth_getProof", lambda _: RpcError(-32000, "missing trie node"), "missing trie node"),
        ("eth_getProof", lambda found: found | {"accountProof": []}, "does not fit block"),
        ("eth_getProof", lambda found: found | {"storageProof": []}, "has 0 storage proofs"),
        ("eth_getLogs", lambda _: [], "no registration of actor 1"),
        ("eth_chainId", lambda _: "0x9", "not the contract that this program knows"),
    ],
)
def test_an_endpoint_that_lies(world: World, method: str, change: Callable[[Any], Any], match: str) -> None:
    lying = Tampered(world.rpc, lambda asked, _, answer: change(answer) if asked == method else answer)
    _fails(world, world.view, match, rpc=lying)


def test_a_block_that_is_dropped_meanwhile(world: World) -> None:
    head = world.chain.head().number

    def older(method: str, params: list[Any], answer: Any) -> Any:
        if method != "eth_getBlockByNumber" or params[0] != "latest":
            return answer
        return answer | {"hash": "0x" + "ab" * 32, "number": hex(head)}

    _fails(world, world.view, "dropping blocks", rpc=Tampered(world.rpc, older))


@pytest.mark.parametrize("absent", [RpcError(METHOD_NOT_FOUND, "no such method"), None])
def test_an_endpoint_without_receipts_of_whole_blocks(world: World, given: Given, absent: Any) -> None:
    plain = Tampered(world.rpc, lambda asked, _, answer: absent if asked == "eth_getBlockReceipts" else answer)
    assert make(world.view, plain, world.address, GOODS).proof == given.proof


def test_what_is_not_mined_at_the_head_is_left_out(tmp_path: Any) -> None:
    with new_world(tmp_path) as world:
        world.circulate([1], PRODUCE, "coop")
        signed, waiting = world.prepare([1], PROCESS, "coop", form=b"{}")
        world.view.add(1, waiting)
        made = make(world.view, world.rpc, world.address, 1)
        assert len(verify(made.proof).circs) == 1
        assert "left out: 1 circs that are not mined" in made.notes[0]
        # Mined, but still shown as pending: the contract counts it, so it belongs to the proof.
        world.deliver(signed)
        made = make(world.view, world.rpc, world.address, 1)
        assert (len(verify(made.proof).circs), made.notes) == (2, ())


def test_an_account_that_is_a_contract(tmp_path: Any) -> None:
    """Its signature is no key's: that it signed, the contract says."""
    with new_world(tmp_path) as world:
        wallet = world.send(None, WALLET).contract_address
        world.register("wallet", Rights.CIRCULATE | Rights.PRODUCE, wallet)
        world.circulate([9], PRODUCE, "wallet")
        world.circulate([9], TRANSFER, "wallet", "coop")
        proven = verify(make(world.view, world.rpc, world.address, 9).proof)
        assert [circ.signer for circ in proven.circs] == [None, None]
        assert proven.complete


def test_a_proof_that_nobody_would_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.flow.proof.maker.FILE_BYTES_MAX", 1_000)
    _fails(world, world.view, "more than 1000 bytes")


def test_a_block_with_too_many_transactions(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.chain.sealed.TRANSACTIONS_MAX", 0)
    _fails(world, world.view, "has 1 transactions, want at most 0")


def test_a_registration_many_blocks_ago(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.flow.proof.maker.LOG_BLOCKS_MAX", 2)
    monkeypatch.setattr("node.flow.proof.maker.ACTORS_MAX", 1)
    with new_world(tmp_path) as world:
        world.circulate([1], PRODUCE, "coop")
        world.change_key("coop")
        world.circulate([1], TRANSFER, "coop", "exporter")
        world.circulate([1], PROCESS, "exporter")
        proven = verify(make(world.view, world.rpc, world.address, 1).proof)
        assert all(circ.signer for circ in proven.circs)
