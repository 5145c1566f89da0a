"""Several endpoints must agree: whichever of them lies, about whatever the audit relies on, both are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.chain import contract
from node.chain.rpc import Chain
from node.chain.transport import LIMIT_EXCEEDED, ChainUnavailable, JsonRpc, RpcError
from node.flow.audit import AgreedChain, AuditImpossible, Auditor, Report
from node.flow.audit.endpoints import HEAD_SECONDS
from tests.audit.world import PROCESS, TRANSFER, Tampered, View, World

NAMES = ("http://one:8545", "http://other:8545")
Change = Callable[[str, list[Any], Any], Any]


def both(rpc: JsonRpc, change: Change, *, first: bool = False) -> AgreedChain:
    """Two endpoints, of which the second, or the first, changes its answers."""
    chains = [Chain(rpc), Chain(Tampered(rpc, change))]
    named = zip(NAMES, reversed(chains) if first else chains, strict=True)
    return AgreedChain(list(named), pause=lambda _: None)


def audited(world: World, chain: AgreedChain, view: View | None = None) -> list[Report]:
    auditor = Auditor(view or world.view, chain, world.address, endpoints=NAMES)
    return [auditor.audit_all(), auditor.audit(sorted(world.view.goods))]


def test_endpoints_that_agree(world: World, view: View) -> None:
    chain = both(world.rpc, lambda _method, _params, answer: answer)
    for report in audited(world, chain):
        assert (report.goods, report.differences, report.unchecked) == (7, (), ())
        assert report.to_json()["trusted"]["rpc"] == list(NAMES)
    view.change(1, 2, form=b"{}")
    for report in audited(world, chain, view):
        assert [each.goods_id for each in report.differences] == [1]


def _changed(wanted: str, **changes: Any) -> Change:
    """Other members in the answers of one method; of every element, if they are lists."""

    def change(method: str, _: list[Any], answer: Any) -> Any:
        if method != wanted or answer is None:
            return answer
        if isinstance(answer, list):
            return [each | changes for each in answer]
        return answer | changes if isinstance(answer, dict) else changes["answer"]

    return change


def _code(method: str, _: list[Any], answer: Any) -> Any:
    return answer + "00" if method == "eth_getCode" else answer


def _genesis(method: str, params: list[Any], answer: Any) -> Any:
    return answer | {"hash": "0x" + "77" * 32} if method == "eth_getBlockByNumber" and params[0] == "0x0" else answer


def _fewer_logs(method: str, _: list[Any], answer: Any) -> Any:
    return answer[:-1] if method == "eth_getLogs" else answer


def _other_transactions(method: str, params: list[Any], answer: Any) -> Any:
    if method == "eth_getBlockByNumber" and answer and not params[1] and params[0] == "0x2":
        return answer | {"transactions": []}
    return answer


def _no_transaction(method: str, _: list[Any], answer: Any) -> Any:
    return None if method == "eth_getTransactionByHash" else answer


BEGINNING: dict[str, tuple[Change, str]] = {
    "another chain": (_changed("eth_chainId", answer="0x1"), "on the chain id"),
    "another genesis": (_genesis, "on block 0: "),
    "other code": (_code, "on the code at 0x"),
}
LIES: dict[str, tuple[Change, str]] = {
    "another block hash": (_changed("eth_getBlockByNumber", hash="0x" + "99" * 32), "on block "),
    "other transactions of a block": (_other_transactions, "on block 2: "),
    "fewer events": (_fewer_logs, "on the contract's events in blocks "),
    "another event": (_changed("eth_getLogs", data="0x" + "00" * 192), "on the contract's events in blocks "),
    "another holder": (_changed("eth_call", answer="0x" + "00" * 31 + "01" + "00" * 32), "on what 0x"),
    "no such transaction": (_no_transaction, "on the transaction 0x"),
    "another status": (_changed("eth_getTransactionReceipt", status="0x1", logs=[]), "on the receipt of 0x"),
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", BEGINNING)
def test_endpoints_that_disagree_from_the_beginning(world: World, name: str, first: bool) -> None:
    change, what = BEGINNING[name]
    with pytest.raises(AuditImpossible, match=f"the endpoints disagree {what}") as caught:
        Auditor(world.view, both(world.rpc, change, first=first), world.address)
    assert all(f"{each} says " in str(caught.value) for each in NAMES)


@pytest.mark.parametrize("name", LIES)
def test_endpoints_that_disagree_later(world: World, name: str) -> None:
    change, what = LIES[name]
    begun = False

    def later(method: str, params: list[Any], answer: Any) -> Any:
        return change(method, params, answer) if begun else answer

    auditor = Auditor(world.view, both(world.rpc, later), world.address)
    begun = True
    with pytest.raises(AuditImpossible, match=f"the endpoints disagree {what}") as caught:
        auditor.audit_all()
    assert all(f"{each} says " in str(caught.value) for each in NAMES)


def test_what_was_found_before_endpoints_disagree_is_told(world: World, view: View) -> None:
    view.change(2, 1, form=b"")
    ended = False

    def other_state(method: str, params: list[Any], answer: Any) -> Any:
        if ended and method == "eth_call" and params[0]["data"] == "0x" + contract.goods_of_data(2).hex():
            return "0x" + bytes(64).hex()
        return answer

    def end(done: int, total: int) -> None:
        nonlocal ended
        ended = done == total - 1

    report = Auditor(view, both(world.rpc, other_state), world.address).audit_all(end)
    assert [each.goods_id for each in report.differences] == [2]
    (line,) = report.unchecked
    assert line.startswith("1 goods are not checked to the end: the endpoints disagree on what 0x")


def test_an_endpoint_that_is_behind_is_no_liar(own: World) -> None:
    """Its head counts; what only the other has yet waits."""
    own.circulate([1], PROCESS, "coop")
    behind = own.chain.head().number
    own.circulate([1], TRANSFER, "coop", "exporter")
    hidden = own.view.circs(1)[-1].tx_hash

    def late(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getBlockByNumber" and (params[0] == "latest" or int(params[0], 16) > behind):
            return own.rpc.batch([(method, [hex(behind), params[1]])])[0] if params[0] == "latest" else None
        return None if params and params[0] == hidden else answer

    for first in (True, False):
        for report in audited(own, both(own.rpc, late, first=first)):
            assert report.summary == "audit: 2 goods, 3 circs, 1 pending, 0 differences"


def test_endpoints_that_disagree_for_a_moment_are_asked_again(world: World) -> None:
    """One of them is about to drop a block; that is no reason to give up."""
    asked = iter([True] * len(HEAD_SECONDS))
    begun = False

    def other_block(method: str, _: list[Any], answer: Any) -> Any:
        if begun and method == "eth_getBlockByNumber" and next(asked, False):
            return answer | {"hash": "0x" + "33" * 32}
        return answer

    auditor = Auditor(world.view, both(world.rpc, other_block), world.address)
    begun = True
    assert auditor.audit_all().differences == ()


def test_an_endpoint_that_gives_few_blocks_at_a_time(world: World) -> None:
    asked = 0

    def stingy(method: str, params: list[Any], answer: Any) -> Any:
        nonlocal asked
        if method == "eth_getBlockByNumber" and params[0] != "latest":
            asked += 1
            return RpcError(LIMIT_EXCEEDED, "too much at once") if asked % 3 == 0 else answer
        return answer

    chain = Chain(Tampered(world.rpc, stingy))
    head = world.chain.head().number
    found = []
    while len(found) <= head:
        asked = 0
        found += chain.block_hashes(len(found), head)
    assert [each.block.number for each in found] == list(range(head + 1))
    asked = 0
    calls = chain.sent_to(world.address, range(head + 1))
    assert calls == world.chain.sent_to(world.address, range(head + 1))
    assert {call.to for call in calls} == {world.address}
    hashes = [tx_hash for each in found for tx_hash in each.hashes]
    assert {call.hash for call in calls} < set(hashes)


def test_an_endpoint_that_answers_another_block(world: World) -> None:
    def another(method: str, _: list[Any], answer: Any) -> Any:
        return answer | {"number": "0x9"} if method == "eth_getBlockByNumber" else answer

    chain = Chain(Tampered(world.rpc, another))
    for ask in (lambda: chain.block_hashes(1, 3), lambda: chain.sent_to(world.address, [1]), lambda: chain.block(1)):
        with pytest.raises(ChainUnavailable, match="answered block 9, want 1"):
            ask()


# --- what was made known


def test_a_code_hash_that_was_made_known(world: World) -> None:
    known = contract.code_hash(world.chain.code(world.address))
    for given in (known, "0x" + known[2:].upper()):
        report = Auditor(world.view, world.chain, world.address, code_hash=given).audit([1])
        assert (report.differences, report.subject.code_hash) == ((), known)
    with pytest.raises(AuditImpossible, match=rf"has the hash {known}, want 0x(00){{32}}: its word proves nothing"):
        Auditor(world.view, world.chain, world.address, code_hash="0x" + "00" * 32)
    for none in ("", "0x12", known[2:], known + "00"):
        with pytest.raises(AuditImpossible, match="want 0x and 64 hex digits"):
            Auditor(world.view, world.chain, world.address, code_hash=none)


def test_a_code_hash_stands_for_code_that_this_version_does_not_know(world: World) -> None:
    """The owner of another version's contract can make its hash known."""

    def other_code(method: str, _: list[Any], answer: Any) -> Any:
        return answer[:-2] + "00" if method == "eth_getCode" else answer

    chain = Chain(Tampered(world.rpc, other_code))
    known = contract.code_hash(chain.code(world.address))
    assert Auditor(world.view, chain, world.address, code_hash=known).audit([1]).differences == ()
    with pytest.raises(AuditImpossible, match="is not the contract that this auditor knows"):
        Auditor(world.view, chain, world.address)


def test_an_endpoint_without_the_first_block(world: World) -> None:
    def pruned(method: str, params: list[Any], answer: Any) -> Any:
        return None if method == "eth_getBlockByNumber" and params[0] == "0x0" else answer

    with pytest.raises(AuditImpossible, match="does not know the chain's first block"):
        Auditor(world.view, Chain(Tampered(world.rpc, pruned)), world.address)


def test_a_pending_circ_that_only_one_pool_has(own: World) -> None:
    """Endpoints don't share what waits."""
    signed, shown = own.prepare([1], PROCESS, "coop")
    own.deliver(signed)
    mined = own.rpc.batch([("eth_getTransactionByHash", [signed.hash])])[0]

    def waits(method: str, params: list[Any], answer: Any) -> Any:
        if params and params[0] == signed.hash:
            return mined | {"blockNumber": None} if method == "eth_getTransactionByHash" else None
        return answer

    def unknown(_: str, params: list[Any], answer: Any) -> Any:
        return None if params and params[0] == signed.hash else answer

    chain = AgreedChain([("one", Chain(Tampered(own.rpc, unknown))), ("other", Chain(Tampered(own.rpc, waits)))])
    assert chain.transactions([signed.hash]) == [replace(own.chain.transactions([signed.hash])[0], block_number=None)]
    assert chain.receipts([signed.hash]) == [None]
    assert shown.trans_id == signed.hash
