"""How the audit is run: what it asks, what it can't do, and what moves while it looks."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from node.chain import contract, signer
from node.chain.rpc import Chain, HttpRpc
from node.chain.transport import LIMIT_EXCEEDED, SERVER_ERROR, ChainUnavailable, RpcError
from node.domain.model import CircType, Rights
from node.flow.audit import AuditImpossible, Auditor, ShownGoods, Unanswered, What, auditor, replay, run
from tests.audit import histories
from tests.audit.world import (
    CLASS,
    FORM,
    PROCESS,
    PRODUCE,
    RELAY,
    SERIAL,
    TRANSFER,
    Tampered,
    View,
    World,
)
from tests.chain.servers import anvil, fund

NOBODY = "0x" + "ab" * 20


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
    """They have a line of their own; what was found of the others is told all the same."""
    report = Auditor(world.view, world.chain, world.address).audit([1, 500, 2])
    assert (report.goods, report.differences) == (2, ())
    assert report.unchecked == ("goods 500: neither the node nor the contract knows them: is the id right?",)


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
    assert asked.count("eth_getTransactionByHash") == 10
    assert asked.count("eth_getTransactionReceipt") == 3, "of calls without a log, the one that failed twice"


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
    monkeypatch.setattr(run, "GOODS_AT_ONCE", 2)
    monkeypatch.setattr(replay, "BLOCKS_MAX", 4)
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


def test_an_endpoint_that_forgets_old_transactions(own: World) -> None:
    """What the logs prove is proven without them; what only they could tell can't be checked."""

    def forgets(method: str, _: list[Any], answer: Any) -> Any:
        return None if method in ("eth_getTransactionByHash", "eth_getTransactionReceipt") else answer

    chain = Chain(Tampered(own.rpc, forgets))
    assert Auditor(own.view, chain, own.address).audit_all().summary.endswith("2 circs, 0 pending, 0 differences")
    own.circulate([1], PROCESS, "exporter")
    with pytest.raises(AuditImpossible, match="or the endpoint has forgotten old transactions"):
        Auditor(own.view, chain, own.address).audit_all()


def test_full_blocks_are_asked_for_few_at_a_time(own: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an answer has a bound, even where empty blocks are followed by full ones."""
    monkeypatch.setattr(replay, "TRANSACTIONS_AT_ONCE", 3)
    for _ in range(8):
        own.circulate([1], PROCESS, "coop")
    asked: list[int] = []

    def note(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getLogs":
            asked.append(int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1)
        return answer

    report = Auditor(own.view, Chain(Tampered(own.rpc, note)), own.address).audit_all()
    assert (report.circs, report.differences) == (10, ())
    assert max(asked) <= 4, "an empty first block, and three with a transaction each"
    assert sum(asked) == own.chain.head().number + 1


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

    found = Auditor(own.view, Chain(Tampered(own.rpc, other_block)), own.address)
    with pytest.raises(AuditImpossible, match="the chain drops blocks again and again"):
        found.audit_all()
    report = found.audit([1, 2])
    assert (report.goods, report.differences, len(report.unchecked)) == (0, (), 2)
    assert "the chain drops blocks again and again" in report.unchecked[0]


@pytest.mark.parametrize("seed", [1, 2])
def test_honest_random_histories_pass(own: World, seed: int) -> None:
    """No lie, no difference; python -m scripts.audit_histories does the same a thousand times over."""
    told = histories.play(own, random.Random(seed), goods=12, acts=70)
    assert told.keys() >= {"success", "failed", "pending", "carried", "bumped"}
    for report in (
        Auditor(own.view, own.chain, own.address).audit_all(),
        Auditor(own.view, own.chain, own.address).audit(sorted(own.view.goods)),
    ):
        assert [str(each) for each in report.differences] == []
        assert report.unchecked == ()
        assert report.goods == len(own.view.goods)
        assert report.unproven == told["unproven"]
        shown = [circ for goods in own.view.goods.values() for circ in goods.circs]
        assert report.circs == sum(circ.status == "success" for circ in shown) + told["late"]


# --- somebody else sends the circ


def _both(own: World, view: View | None = None, late_blocks: int = 64) -> list[list[str]]:
    found = Auditor(view or own.view, own.chain, own.address, late_blocks=late_blocks)
    return [[str(each) for each in report.differences] for report in (found.audit_all(), found.audit([1, 2]))]


@pytest.mark.parametrize("later", [True, False], ids=["reverted", "never mined"])
@pytest.mark.parametrize("relayed", [True, False], ids=["through a relay", "directly"])
def test_a_stranger_may_send_the_circ_first(own: World, relayed: bool, later: bool) -> None:
    """tx_hash is the stranger's, trans_id the node's own, whatever became of it."""
    relay = own.send(None, RELAY).contract_address if relayed else None
    own.copied(1, PROCESS, "coop", through=relay, later=later)
    assert _both(own) == [[], []]
    own.view.change(1, 1, status="pending", tx_hash=None)  # the node has not seen yet whose was mined
    assert _both(own) == [[], []]
    own.view.change(1, 1, status="failed", times=None)
    assert all("it happened: the contract took it" in lines[0] for lines in _both(own))


def test_what_a_relay_sent_must_be_right(own: World) -> None:
    own.copied(1, PROCESS, "coop", through=own.send(None, RELAY).contract_address)
    own.view.change(1, 1, form=b"{}")
    for lines in _both(own):
        assert len(lines) == 1
        assert "form and salt differ from their digest" in lines[0]


def test_a_trans_id_must_ask_for_the_same_circ(own: World) -> None:
    own.circulate([1], PROCESS, "coop")
    failed = own.circulate([2], PROCESS, "exporter")
    register = own.send(own.address, b"\1\2\3\4")
    for other in (failed.trans_id, register.tx_hash):
        view = own.view.copy()
        view.change(1, 1, trans_id=other)
        for lines in _both(own, view):
            assert len(lines) == 1
            assert "the transaction of its trans_id asks for something else" in lines[0]


# --- what does not settle


@pytest.mark.parametrize(("kind", "settled"), [(PROCESS, "was mined"), (TRANSFER, "was reverted")])
def test_a_circ_can_not_be_pending_for_ever(own: World, kind: CircType, settled: str) -> None:
    operator, to = ("coop", "") if kind is PROCESS else ("exporter", "roaster")
    own.circulate([1], kind, operator, to)
    own.view.change(1, 1, status="pending", times=1, tx_hash=None)
    for _ in range(3):
        own.set_rights("grader", Rights.CIRCULATE)
    assert _both(own, late_blocks=3) == [[], []]
    for lines in _both(own, late_blocks=2):
        assert len(lines) == 1
        assert f"is shown as pending, but its transaction {settled} 3 blocks ago" in lines[0]


@pytest.mark.parametrize("status", ["failed", "pending"])
def test_a_reverted_transaction_must_be_an_attempt_at_the_circ(own: World, status: str) -> None:
    assert own.circulate([1], TRANSFER, "exporter", "roaster").status == "failed"
    times = None if status == "failed" else 1
    own.view.change(1, 1, status=status, times=times)
    assert _both(own) == [[], []]
    no_circ = own.send(own.address, b"\1\2\3\4").tx_hash
    own.view.change(1, 1, trans_id=no_circ, tx_hash=no_circ)
    assert all("its transaction asks the contract for no circ" in lines[0] for lines in _both(own))
    _, shown = own.prepare([1], TRANSFER, "exporter", "roaster")
    call, _ = contract.decode_circulate(own.last_data)
    own.forget()
    sent = own.send(own.address, contract.circulate_data(call, bytes(64) + b"\x1b")).tx_hash
    own.view.change(1, 1, trans_id=sent, tx_hash=sent, salt=shown.salt, form=shown.form)
    whole, named = _both(own)
    assert len(named) == 1
    assert "its operator, actor 2, never signed it" in named[0]
    assert whole[:-1] == named
    assert whole[-1].endswith("(transfer) was refused by the contract, but is not shown as failed"), "the true one"


def test_a_failed_circ_that_the_chain_does_not_know_waits(own: World) -> None:
    _, shown = own.prepare([1], TRANSFER, "exporter", "roaster")
    own.view.add(1, replace(shown, status="failed", times=None))
    report = Auditor(own.view, own.chain, own.address).audit_all()
    assert report.summary == "audit: 2 goods, 2 circs, 1 pending, 0 differences"


def test_waiting_circs_of_actors_that_are_not_registered_yet(own: World) -> None:
    """Their names are nobody's; custody goes on all the same."""
    _, shown = own.prepare([1], TRANSFER, "coop", "exporter")
    own.view.add(1, replace(shown, to="newcomer"))
    process = replace(shown, circ_type=1, operator="newcomer", origin="newcomer", to="newcomer", times=2)
    own.view.add(1, replace(process, trans_id="0x" + "12" * 32))
    assert _both(own) == [[], []]
    own.view.change(1, 2, operator="stranger", origin="stranger", to="stranger")
    assert all("its operator 'stranger' does not hold the goods" in lines[0] for lines in _both(own))


# --- goods that the contract doesn't know


def test_goods_that_wait_are_told_apart(own: World) -> None:
    _, shown = own.prepare([77], PRODUCE, "coop", form=FORM.to_bytes())
    own.view.add(77, shown)
    report = Auditor(own.view, own.chain, own.address).audit([1, 77])
    assert (report.fresh, report.pending, report.differences) == ((77,), 1, ())
    assert report.lines[-2:] == [
        "not on the chain yet, so nothing of them is proven: 1 goods: 77",
        "audit: 2 goods, 1 circs, 1 pending, 0 differences",
    ]
    own.view.goods[77] = ShownGoods(77, CLASS, SERIAL, (), "coop")
    (difference,) = Auditor(own.view, own.chain, own.address).audit([77]).differences
    assert difference.what is What.NO_CIRC


# --- what can't be checked is told, and does not hide what was found


class Refusing(View):
    """A node that does not answer for some goods, or for any after some questions."""

    def __init__(self, view: View, refused: set[int], *, first: int = 10**9, answers: int = 10**9) -> None:
        super().__init__(view.goods)
        self._refused = refused
        self._first = first
        self._answers = answers

    def history(self, goods_id: int) -> ShownGoods | None:
        self.asked += 1
        if (goods_id in self._refused and self.asked <= self._first) or self.asked > self._answers:
            raise Unanswered("the node can't be asked: UNAVAILABLE: busy\n\x1b[2J")
        return self.goods.get(goods_id)


@pytest.mark.parametrize("refused", [{1}, {4}, {9}, {1, 2, 3, 4}])
def test_a_refusal_for_some_goods_is_a_difference(world: World, view: View, refused: set[int]) -> None:
    """Whatever comes first: it hides neither these goods nor the others."""
    view.change(5, 1, form=b"")
    pauses: list[float] = []
    report = Auditor(Refusing(view, refused), world.chain, world.address, pause=pauses.append).audit_all()
    found = [(each.goods_id, each.what) for each in report.differences]
    assert found == sorted([*((goods_id, What.UNREADABLE) for goods_id in refused), (5, What.FORM)])
    assert report.unchecked == ()
    assert pauses
    assert all(line.isprintable() for line in report.lines)


def test_a_node_that_is_busy_for_a_moment_is_asked_again(world: World, view: View) -> None:
    busy = Refusing(view, {1, 4}, first=5)
    report = Auditor(busy, world.chain, world.address, pause=lambda _: None).audit_all()
    assert (report.goods, report.differences, report.unchecked) == (7, (), ())


def test_a_node_that_goes_away_is_no_liar(world: World, view: View) -> None:
    """But what was found before is told."""
    view.change(2, 1, form=b"")
    gone = Refusing(view, set(), answers=3)
    report = Auditor(gone, world.chain, world.address, pause=lambda _: None).audit_all()
    assert [(each.goods_id, each.what) for each in report.differences] == [(2, What.FORM)]
    (line,) = report.unchecked
    assert line.startswith("5 goods are not checked to the end: the node can't be asked: UNAVAILABLE")
    assert report.lines[-1] == report.summary


def test_a_node_that_answers_nothing(world: World, view: View) -> None:
    silent = Refusing(view, set(), answers=0)
    with pytest.raises(AuditImpossible, match="UNAVAILABLE"):
        Auditor(silent, world.chain, world.address).audit_all()
    assert silent.asked == run.SILENT_GOODS_MAX


def test_a_chain_that_ends_before_the_second_look(world: World, view: View) -> None:
    """What the first look found is told."""
    view.change(2, 1, form=b"")
    ended = False

    def away(_method: str, _params: list[Any], answer: Any) -> Any:
        return RpcError(SERVER_ERROR, "overloaded\n\x1b[2J") if ended else answer

    found = Auditor(view, Chain(Tampered(world.rpc, away)), world.address)

    def end(done: int, total: int) -> None:
        nonlocal ended
        ended = done == total - 1

    report = found.audit_all(end)
    assert [(each.goods_id, each.what) for each in report.differences] == [(2, What.FORM)]
    assert "1 goods are not checked to the end: the chain can't be asked" in report.unchecked[0]
    assert all(line.isprintable() for line in report.lines)


# --- what was audited


def test_a_report_says_what_was_audited(world: World) -> None:
    head = world.chain.head()
    report = Auditor(world.view, world.chain, world.address, chain_id=world.chain_id).audit([1])
    code_hash = contract.code_hash(world.chain.code(world.address))
    assert report.lines == [
        f"audit of chain {world.chain_id}, contract {world.address}, code hash {code_hash}, "
        f"at block {head.number} {head.hash}",
        report.summary,
    ]


def test_another_chain_than_the_wanted_one_is_refused(world: World) -> None:
    with pytest.raises(AuditImpossible, match=f"the endpoint serves chain {world.chain_id}, want chain 1"):
        Auditor(world.view, world.chain, world.address, chain_id=1)
