"""How the audit is run: what it asks, what it can't do, and what moves while it looks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.chain import signer
from node.chain.rpc import Chain, HttpRpc
from node.chain.transport import LIMIT_EXCEEDED, SERVER_ERROR, ChainUnavailable, RpcError
from node.domain.model import CircType, Rights
from node.flow.audit import AuditImpossible, Auditor, ShownGoods, What, auditor, reading
from tests.audit.world import EXAM, FORM, PROCESS, PRODUCE, TRANSFER, Tampered, View, World, new_world
from tests.chain.servers import anvil, fund

NOBODY = "0x" + "ab" * 20


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """A world that the test may add to, with goods 1 and 2."""
    with new_world(tmp_path) as made:
        made.circulate([1, 2], PRODUCE, "coop", form=FORM.to_bytes())
        yield made


class Moving(View):
    """A node that does something whenever it is asked, before it answers or after."""

    def __init__(self, view: View, *, before: Callable[[], None] | None = None) -> None:
        super().__init__()
        self._view = view
        self._before = before or (lambda: None)

    def history(self, goods_id: int) -> ShownGoods | None:
        self.asked += 1
        self._before()
        return self._view.history(goods_id)


def test_an_audit_on_a_network() -> None:
    """Over HTTP, on a chain that isn't the node's own."""
    key = signer.new_key()
    with anvil() as url, closing(HttpRpc(url)) as rpc:
        fund(rpc, signer.address_of(key))
        made = World(rpc, key, fee_per_gas=10**10)
        made.register("coop", Rights.CIRCULATE | Rights.PRODUCE)
        made.register("exporter", Rights.CIRCULATE)
        made.circulate([1, 2], PRODUCE, "coop", form=FORM.to_bytes())
        made.circulate([1], TRANSFER, "coop", "exporter")
        made.change_key("exporter")
        made.circulate([1], PROCESS, "exporter")
        assert made.circulate([1], PROCESS, "coop").status == "failed"
        report = Auditor(made.view, made.chain, made.address).audit_all()
        assert report.summary == "audit: 2 goods, 4 circs, 0 pending, 0 differences"
        made.view.change(1, 1, to="coop")
        (difference,) = Auditor(made.view, made.chain, made.address).audit([1, 2]).differences
        assert difference.what is What.NAME


# --- what can't be checked


def test_a_chain_that_does_not_answer() -> None:
    class Away:
        def batch(self, _: object) -> list[Any]:
            raise ChainUnavailable("chain endpoint http://h can't be reached (Connection refused)")

        def close(self) -> None: ...

    with pytest.raises(AuditImpossible, match=r"can't be reached .*Is the endpoint the right one"):
        Auditor(View(), Chain(Away()), NOBODY)


@pytest.mark.parametrize("address", ["", "0x12", "vtrace", NOBODY + "00", "0x" + "zz" * 20])
def test_an_address_that_is_none(world: World, address: str) -> None:
    with pytest.raises(AuditImpossible, match="want an address, 0x and 40 hex digits"):
        Auditor(world.view, world.chain, address)


def test_an_address_without_contract(world: World) -> None:
    with pytest.raises(AuditImpossible, match=r"there is no contract at 0x(ab){20} on chain \d+"):
        Auditor(world.view, world.chain, NOBODY)


def test_the_code_of_another_contract(world: World) -> None:
    def other_code(method: str, _: list[Any], answer: Any) -> Any:
        return answer[:-2] + "00" if method == "eth_getCode" else answer

    with pytest.raises(AuditImpossible, match="is not the contract that this auditor knows"):
        Auditor(world.view, Chain(Tampered(world.rpc, other_code)), world.address)


def test_the_contract_of_another_chain(world: World) -> None:
    def other_chain(method: str, _: list[Any], answer: Any) -> Any:
        return "0x1" if method == "eth_chainId" else answer

    with pytest.raises(AuditImpossible, match="is not the contract that this auditor knows"):
        Auditor(world.view, Chain(Tampered(world.rpc, other_chain)), world.address)


def test_a_chain_that_ends_while_it_is_asked(world: World) -> None:
    def away(method: str, _: list[Any], answer: Any) -> Any:
        return RpcError(SERVER_ERROR, "overloaded") if method == "eth_getTransactionReceipt" else answer

    found = Auditor(world.view, Chain(Tampered(world.rpc, away)), world.address)
    with pytest.raises(AuditImpossible, match="overloaded"):
        found.audit([1])


@pytest.mark.parametrize("goods_id", [0, -1, 2**31])
def test_an_id_that_is_none(world: World, goods_id: int) -> None:
    with pytest.raises(AuditImpossible, match=f"goods {goods_id}: want an id from 1"):
        Auditor(world.view, world.chain, world.address).audit([1, goods_id])


def test_goods_that_nobody_knows(world: World) -> None:
    with pytest.raises(AuditImpossible, match="goods 500: neither the node nor the contract knows them"):
        Auditor(world.view, world.chain, world.address).audit([500])


def test_a_log_that_makes_no_sense(world: World) -> None:
    def nonsense(method: str, _: list[Any], answer: Any) -> Any:
        return [log | {"data": "0x00"} for log in answer] if method == "eth_getLogs" else answer

    found = Auditor(world.view, Chain(Tampered(world.rpc, nonsense)), world.address)
    with pytest.raises(AuditImpossible, match="a log of the contract can't be understood"):
        found.audit_all()


# --- what is asked


def test_an_audit_of_all_asks_little(world: World) -> None:
    """A few requests for all goods together, however many circs they have."""
    rpc = Tampered(world.rpc)
    Auditor(world.view, Chain(rpc), world.address).audit_all()
    assert len(rpc.requests) <= 20
    asked = [method for request in rpc.requests for method in request]
    assert asked.count("eth_getTransactionReceipt") == asked.count("eth_getTransactionByHash") == 10


def test_progress_is_told(world: World, view: View) -> None:
    view.change(2, 1, form=b"")
    told: list[tuple[int, int]] = []
    Auditor(view, world.chain, world.address).audit([1, 2, 3], lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_goods_named_twice_are_audited_once(world: World) -> None:
    assert Auditor(world.view, world.chain, world.address.lower()).audit([1, 1, 4]).goods == 2


def test_an_endpoint_that_gives_few_logs_at_a_time(world: World) -> None:
    def stingy(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getLogs" and int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) > 2:
            return RpcError(LIMIT_EXCEEDED, "query spans more than 3 blocks")
        return answer

    report = Auditor(world.view, Chain(Tampered(world.rpc, stingy)), world.address).audit_all()
    assert (report.goods, report.differences) == (7, ())


def test_many_goods_are_audited_in_several_batches(world: World, view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor, "GOODS_AT_ONCE", 2)
    monkeypatch.setattr(reading, "LOG_BLOCKS_MAX", 4)
    view.change(4, 1, form=b"")
    report = Auditor(view, world.chain, world.address).audit_all()
    assert (report.goods, [each.goods_id for each in report.differences]) == (7, [4])


def test_the_first_block_is_looked_for(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor, "LOG_BLOCKS_MAX", 2)
    asked: list[int] = []

    def note(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getLogs":
            asked.append(int(params[0]["fromBlock"], 16))
        return answer

    chain = Chain(Tampered(own.rpc, note))
    assert Auditor(own.view, chain, own.address).audit_all().differences == ()
    (created,) = [n for n in range(own.chain.head().number) if not own.chain.code(own.address, n)][-1:]
    assert min(asked) == created + 1


def test_an_endpoint_that_forgets_old_states(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditor, "LOG_BLOCKS_MAX", 2)
    head = own.chain.head().number

    def forgets(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getCode" and params[1] not in ("latest", hex(head)):
            return RpcError(SERVER_ERROR, "missing trie node")
        return answer

    assert Auditor(own.view, Chain(Tampered(own.rpc, forgets)), own.address).audit_all().differences == ()


def test_logs_that_begin_too_late_are_noticed(own: World) -> None:
    own.set_rights("grader", Rights.CIRCULATE)
    found = Auditor(own.view, own.chain, own.address, first_block=own.chain.head().number)
    with pytest.raises(AuditImpossible, match="its registration is not among the logs"):
        found.audit_all()


# --- what moves


def test_circs_mined_while_the_audit_looks_wait(own: World) -> None:
    """Each time that the node is asked, another circ is on the chain and shown as success."""

    def record() -> None:
        own.circulate([1, 2], PROCESS, "coop", form=b"{}")

    report = Auditor(Moving(own.view, before=record), own.chain, own.address).audit([1, 2])
    assert report.summary == "audit: 2 goods, 2 circs, 3 pending, 0 differences"
    assert Auditor(own.view, own.chain, own.address).audit_all().summary == (
        "audit: 2 goods, 6 circs, 0 pending, 0 differences"
    )


def test_a_circ_that_is_mined_but_not_settled_counts_as_shown(own: World) -> None:
    own.circulate([1, 2], PROCESS, "coop")
    own.view.change(1, 1, status="pending", tx_hash=None)
    own.view.change(2, 1, status="pending")
    for report in (
        Auditor(own.view, own.chain, own.address).audit_all(),
        Auditor(own.view, own.chain, own.address).audit([1, 2]),
    ):
        assert report.summary == "audit: 2 goods, 4 circs, 0 pending, 0 differences"


def test_a_circ_that_is_mined_but_not_settled_must_be_right(own: World) -> None:
    own.circulate([1], PROCESS, "coop")
    own.view.change(1, 1, status="pending", form=b'{"other": 1}')
    (difference,) = Auditor(own.view, own.chain, own.address).audit_all().differences
    assert difference.what is What.FORM


def test_a_pending_circ_with_the_transaction_of_another_is_a_lie(own: World) -> None:
    other = own.circulate([2], PROCESS, "coop")
    waiting = replace(other, goods_id=1, status="pending", tx_hash=None)
    own.view.add(1, waiting)
    (difference,) = Auditor(own.view, own.chain, own.address).audit_all().differences
    assert str(difference).endswith("has a transaction whose circ does not name these goods")


def test_a_reverted_circ_that_is_not_settled_waits(own: World) -> None:
    assert own.circulate([1], PROCESS, "exporter").status == "failed"
    own.view.change(1, 1, status="pending", times=1)
    assert Auditor(own.view, own.chain, own.address).audit_all().summary == (
        "audit: 2 goods, 2 circs, 1 pending, 0 differences"
    )


def test_waiting_circs_one_after_another(own: World) -> None:
    first, shown_first = own.prepare([1], PROCESS, "coop")
    second, shown_second = own.prepare([1], TRANSFER, "coop", "exporter", later=1)
    own.view.add(1, shown_first)
    own.view.add(1, shown_second)
    assert Auditor(own.view, own.chain, own.address).audit_all().summary == (
        "audit: 2 goods, 2 circs, 2 pending, 0 differences"
    )
    own.deliver(first)
    assert Auditor(own.view, own.chain, own.address).audit_all().summary == (
        "audit: 2 goods, 3 circs, 1 pending, 0 differences"
    )
    own.deliver(second)
    assert Auditor(own.view, own.chain, own.address).audit_all().summary == (
        "audit: 2 goods, 4 circs, 0 pending, 0 differences"
    )


def test_a_fee_bump_changes_the_mined_hash(own: World) -> None:
    mined = own.circulate([1], PROCESS, "coop")
    first_hash = "0x" + "fe" * 32
    own.view.change(1, 1, trans_id=first_hash)
    assert mined.tx_hash == own.view.circs(1)[1].tx_hash
    assert Auditor(own.view, own.chain, own.address).audit_all().differences == ()
    own.view.change(1, 1, tx_hash=None, status="pending")  # the node has not seen yet which of the two was mined
    for report in (
        Auditor(own.view, own.chain, own.address).audit_all(),
        Auditor(own.view, own.chain, own.address).audit([1, 2]),
    ):
        assert report.summary == "audit: 2 goods, 3 circs, 0 pending, 0 differences"


def test_a_node_that_contradicts_itself_for_a_moment_is_asked_again(own: World) -> None:
    honest = own.view.copy()
    moments = iter([True])

    def before() -> None:
        own.view.goods = dict(honest.goods)
        if next(moments, False):
            own.view.change(1, 0, form=b"")

    view = Moving(own.view, before=before)
    assert Auditor(view, own.chain, own.address).audit([1]).differences == ()
    assert view.asked == 2


def test_a_chain_that_drops_a_block_is_read_again(own: World) -> None:
    dropped = iter([True])

    def other_block_once(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] != "latest" and next(dropped, False):
            return answer | {"hash": "0x" + "33" * 32}
        return answer

    view = own.view.copy()
    report = Auditor(view, Chain(Tampered(own.rpc, other_block_once)), own.address).audit_all()
    assert report.summary == "audit: 2 goods, 2 circs, 0 pending, 0 differences"
    assert view.asked in (2, 4)


def test_a_chain_that_never_rests_can_not_be_audited(own: World) -> None:
    def other_block(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getBlockByNumber" and params[0] != "latest":
            return answer | {"hash": "0x" + "33" * 32}
        return answer

    with pytest.raises(AuditImpossible, match="drops blocks again and again"):
        Auditor(own.view, Chain(Tampered(own.rpc, other_block)), own.address).audit_all()


def test_honest_random_histories_pass(own: World) -> None:
    """No lie, no difference: random circs, of which some fail and some wait."""
    choose = random.Random(20_260_730)
    names = ["coop", "exporter", "roaster", "grader"]
    own.circulate(list(range(10, 18)), PRODUCE, "coop", form=FORM.to_bytes())
    for step in range(60):
        if step == 20:
            own.set_rights("exporter", Rights.CIRCULATE | Rights.EXAMINE)
        if step == 40:
            own.change_key("roaster")
        kind: CircType = choose.choice([PRODUCE, PROCESS, TRANSFER, TRANSFER, EXAM])
        operator, other = choose.sample(names, 2)
        goods = [choose.randrange(10, 18)]
        form = b"" if choose.random() < 0.3 else b'{"step": %d}' % step
        own.circulate(goods, kind, operator, other if kind is TRANSFER else "", form)
    assert {circ.status for goods in own.view.goods.values() for circ in goods.circs} == {"success", "failed"}
    _, waiting = own.prepare([10], PROCESS, "coop")
    own.view.add(10, waiting)
    report = Auditor(own.view, own.chain, own.address).audit_all()
    assert [str(each) for each in report.differences] == []
    assert (report.goods, report.pending) == (10, 1)
    circs = [circ for goods in own.view.goods.values() for circ in goods.circs]
    assert report.circs == sum(circ.status == "success" for circ in circs)
