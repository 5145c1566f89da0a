"""Every lie is found, is named, and is the only thing that is found; an honest node passes."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.chain import contract
from node.chain.rpc import Chain
from node.domain.form import form_digest, name_digest
from node.domain.model import Circ, CircType, Rights, ranges_of
from node.flow.audit import AuditImpossible, Auditor, Difference, ShownCirc, ShownGoods, Unreadable, What
from node.flow.audit.facts import Actors, Event, Evidence, Facts, Place
from node.flow.audit.rules import judge
from tests.audit.world import CLASS, FORM, SERIAL, Tampered, View, World

ALL = (1, 2, 3, 4, 5, 6, 9)
CIRCS, PENDING = 7 + 4 + 4 + 2 * 3 + 1, 1


def test_an_honest_node_passes(world: World) -> None:
    auditor = Auditor(world.view, world.chain, world.address)
    for report in (auditor.audit(ALL), auditor.audit_all()):
        assert [str(each) for each in report.differences] == []
        assert report.summary == f"audit: 7 goods, {CIRCS} circs, {PENDING} pending, 0 differences"


def test_forms_that_are_told_as_forgotten_are_counted_and_no_difference(world: World, view: View) -> None:
    """The node may say so of any circ but the first; whoever reads the report sees how often it does."""
    view.change(1, 2, erased=True, salt=b"", form=b"")
    auditor = Auditor(view, world.chain, world.address)
    for report in (auditor.audit(ALL), auditor.audit_all()):
        assert [str(each) for each in report.differences] == []
        assert report.erased == 1
        assert any("forgotten" in line and line.endswith(": 1") for line in report.lines)
    # All else of such a circ is held against the chain as ever.
    view.change(1, 2, operator="somebody")
    (found,) = auditor.audit([1]).differences
    assert found.what is What.NAME


def _drop(goods_id: int, index: int) -> Callable[[View, World], None]:
    def lie(view: View, _: World) -> None:
        circs = view.circs(goods_id)
        del circs[index]
        view.show(goods_id, circs)

    return lie


def _drop_and_renumber(goods_id: int, index: int) -> Callable[[View, World], None]:
    def lie(view: View, _: World) -> None:
        circs = view.circs(goods_id)
        del circs[index]
        times = iter(range(len(circs)))
        view.show(goods_id, [circ if circ.status == "failed" else replace(circ, times=next(times)) for circ in circs])

    return lie


def _change(goods_id: int, index: int, /, **changes: Any) -> Callable[[View, World], None]:
    return lambda view, _: view.change(goods_id, index, **changes)


def _product(**changes: Any) -> Callable[[View, World], None]:
    def lie(view: View, _: World) -> None:
        view.goods[2] = replace(view.goods[2], **changes)

    return lie


def _swap(view: View, _: World) -> None:
    circs = view.circs(1)
    circs[3], circs[4] = circs[4], circs[3]
    view.show(1, circs)


def _swap_and_renumber(view: View, _: World) -> None:
    circs = view.circs(1)
    circs[1], circs[2] = replace(circs[2], times=1), replace(circs[1], times=2)
    view.show(1, circs)


def _swap_forms(view: View, _: World) -> None:
    first, second = view.circs(1)[1], view.circs(1)[2]
    view.change(1, 1, form=second.form, salt=second.salt)
    view.change(1, 2, form=first.form, salt=first.salt)


def _of_other_goods(view: View, _: World) -> None:
    other = view.circs(9)[0]
    view.change(2, 3, trans_id=other.trans_id, tx_hash=other.tx_hash)


def _under_other_goods(view: View, _: World) -> None:
    view.show(4, [*view.circs(4), replace(view.circs(1)[2], goods_id=4)])


def _twice(view: View, _: World) -> None:
    view.show(4, [*view.circs(4), replace(view.circs(4)[1], times=2)])


def _twice_under_another_trans_id(view: View, _: World) -> None:
    circs = view.circs(4)
    view.show(4, [*circs, replace(circs[1], times=2, trans_id="0x" + "ab" * 32)])


def _invented(view: View, _: World) -> None:
    circ = replace(view.circs(4)[1], times=2, trans_id="0x" + "ab" * 32, tx_hash="0x" + "ab" * 32)
    view.show(4, [*view.circs(4), circ])


def _hidden(view: View, _: World) -> None:
    del view.goods[5]


def _other_answer(view: View, _: World) -> None:
    view.goods[2] = replace(view.goods[4], circs=view.goods[2].circs)


def _two_mined_hashes(view: View, _: World) -> None:
    view.change(1, 4, trans_id=view.circs(9)[0].trans_id)


def _waits_before_what_is_mined(view: View, _: World) -> None:
    circs = view.circs(3)
    view.show(3, [*circs[:3], circs[4], circs[3]])


def _failed_of_other_goods(view: View, _: World) -> None:
    view.show(2, [*view.circs(2), replace(view.circs(1)[6], goods_id=2)])


def _waiting(**changes: Any) -> Callable[[View, World], None]:
    """The waiting circ of goods 3, which the exporter holds, shown otherwise."""
    return _change(3, 4, **changes)


def _by(name: str, **changes: Any) -> Callable[[View, World], None]:
    return _waiting(operator=name, origin=name, **({"to": name} | changes))


def _recorded(goods_id: int, index: int, seconds: int) -> Callable[[View, World], None]:
    """A circ's time of record is moved by so many seconds."""

    def lie(view: View, _: World) -> None:
        at = view.circs(goods_id)[index].recorded_at
        assert at is not None
        view.change(goods_id, index, recorded_at=at + seconds * 1_000_000)

    return lie


def _trans_id_of_another_circ(view: View, _: World) -> None:
    view.change(2, 3, trans_id=view.circs(1)[6].trans_id)


H = "0x[0-9a-f]{12}…"
TIME = r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
LIES: dict[str, tuple[Callable[[View, World], None], int, list[str]]] = {
    "form": (
        _change(1, 2, form=b'{"cup_score": 91.0}'),
        1,
        [rf"circ {H} \(exam\): form and salt differ from their digest on the chain"],
    ),
    "form forgotten": (_change(1, 2, form=b""), 1, ["form and salt differ"]),
    "told as forgotten, with its form": (
        _change(1, 2, erased=True),
        1,
        ["is shown as forgotten, but with a salt or a form"],
    ),
    "first form told as forgotten": (
        _change(1, 0, erased=True, salt=b"", form=b""),
        1,
        ["is the first produce of the goods, whose form is the node's own: it can't be forgotten"],
    ),
    "no salt, and not told as forgotten": (_change(1, 2, salt=b"", form=b""), 1, ["a salt of 0 bytes, want 16"]),
    "salt": (_change(1, 2, salt=bytes(16)), 1, ["form and salt differ"]),
    "salt too short": (_change(1, 2, salt=b"salt"), 1, ["a salt of 4 bytes, want 16"]),
    "forms swapped": (_swap_forms, 1, ["form and salt differ", "form and salt differ"]),
    "first left out": (
        _drop(4, 0),
        4,
        [
            r"circ .* \(process\) can't follow the circs shown before it: NotHolder",
            rf"circ {H} \(produce, times 0\) is on the chain, but not shown",
            "1 circ is left out: the contract counts 2, the node shows 1 of them",
            "the first produce circ is not shown: nothing says what the goods are",
        ],
    ),
    "middle left out": (
        _drop(1, 2),
        1,
        [rf"circ {H} \(exam, times 2\) is on the chain, but not shown", "1 circ is left"],
    ),
    "middle left out, renumbered": (
        _drop_and_renumber(1, 2),
        1,
        [
            "shown with times 2, the chain has 3",
            "shown with times 3, the chain has 4",
            "shown with times 4, the chain has 5",
            "shown with times 5, the chain has 6",
            r"\(exam, times 2\) is on the chain, but not shown",
            "1 circ is left out",
        ],
    ),
    "last left out": (_drop(1, 7), 1, [r"\(process, times 6\) is on the chain, but not shown", "1 circ is left out"]),
    "last transfer left out": (
        _drop(2, 3),
        2,
        [
            r"\(transfer, times 3\) is on the chain, but not shown",
            "1 circ is left out",
            "by the circs shown actor 1 holds the goods, by the contract actor 2",
        ],
    ),
    "all left out": (
        lambda view, _: view.show(5, []),
        5,
        [r"\(produce, times 0\)", r"\(process, times 1\)", "2 circs are left out", "nobody holds .* actor 1"],
    ),
    "two swapped": (
        _swap,
        1,
        [
            "is shown after a circ that the chain has later",
            r"\(process\) can't follow the circs shown before it: NotHolder",
        ],
    ),
    "two swapped, renumbered": (
        _swap_and_renumber,
        1,
        ["times 1, the chain has 2", "times 2, the chain has 1", "the chain has later: the order is another"],
    ),
    "a waiting one first": (
        _waits_before_what_is_mined,
        3,
        [rf"circ {H} is on the chain, but shown after {H}, which is not"],
    ),
    "times": (_change(1, 4, times=40), 1, ["is shown with times 40, the chain has 4"]),
    "times of a waiting one": (_change(3, 4, times=9), 3, ["is shown with times 9, the chain has 4"]),
    "no times": (_change(1, 4, times=None), 1, ["is shown with times nothing, the chain has 4"]),
    "recorded before the contract": (
        _recorded(1, 0, -100_000),
        1,
        [rf"circ {H} is shown as recorded at {TIME}: that is before a day before the ledger's first block, {TIME}"],
    ),
    "recorded before the circ before it": (
        _recorded(1, 3, -3_600),
        1,
        [rf"is shown as recorded at {TIME}: that is before circ {H}, which is shown before it, {TIME}"],
    ),
    "recorded after its block": (
        _recorded(1, 4, 60),
        1,
        [rf"is shown as recorded at {TIME}: that is after the block that holds it, \d+, {TIME}"],
    ),
    "failed, recorded after its block": (_recorded(1, 6, 60), 1, [r"that is after the block that holds it, \d+"]),
    "waiting, recorded in the future": (
        _recorded(3, 4, 3_600),
        3,
        [rf"is shown as recorded at {TIME}: that is after this audit, {TIME}"],
    ),
    "waiting, recorded before the circ before it": (
        _recorded(3, 4, -3_600),
        3,
        [f"that is before circ {H}, which is shown before it"],
    ),
    "recorded beyond all times": (
        _change(1, 4, recorded_at=10**30),
        1,
        ["is shown as recorded at 10{30} microseconds since 1970: that is after the block"],
    ),
    "no time of record": (_change(1, 4, recorded_at=None), 1, ["is shown without its time of record"]),
    "waiting, no time of record": (_waiting(recorded_at=None), 3, ["is shown without its time of record"]),
    "operator": (
        _change(1, 1, operator="grader"),
        1,
        ["shows as operator 'grader', the name of actor 4; the chain has actor 1"],
    ),
    "operator and from": (
        _change(1, 1, operator="grader", origin="grader"),
        1,
        ["as operator 'grader'", "as from 'grader'"],
    ),
    "from": (
        _change(1, 3, origin="roaster"),
        1,
        ["shows as from 'roaster', the name of actor 3; the chain has actor 1"],
    ),
    "to": (_change(1, 3, to="roaster"), 1, ["shows as to 'roaster', the name of actor 3; the chain has actor 2"]),
    "a name that nobody has": (
        _change(1, 1, operator="王二"),
        1,
        ["shows as operator '王二', nobody's name on the chain; the chain has actor 1"],
    ),
    "no name": (_change(1, 1, to=None), 1, ["shows as to no username; the chain has actor 1"]),
    "kind": (_change(1, 2, circ_type=1), 1, ["is shown as process, the chain has exam"]),
    "no kind": (_change(1, 2, circ_type=2), 1, ["is shown as kind 2, the chain has exam"]),
    "of other goods": (
        _of_other_goods,
        2,
        [
            "has a transaction whose circ does not name these goods",
            r"\(transfer, times 3\) is on the chain, but not shown",
            "1 circ is left out",
            "actor 1 holds the goods, by the contract actor 2",
        ],
    ),
    "under other goods": (_under_other_goods, 4, ["has a transaction whose circ does not name these goods"]),
    "goods id of a circ": (_change(1, 2, goods_id=2), 1, ["is shown as one of goods 2"]),
    "no goods id": (_change(1, 2, goods_id=None), 1, ["is shown as one of goods nothing"]),
    "answers with other goods": (_other_answer, 2, ["the node answers with goods 4"]),
    "twice": (_twice, 4, ["is shown twice"]),
    "twice under another trans_id": (_twice_under_another_trans_id, 4, ["is shown twice"]),
    "both hashes mined": (_two_mined_hashes, 1, ["its trans_id was mined as well"]),
    "invented": (_invented, 4, ["is shown as success, but the chain has no such transaction"]),
    "pending as success": (
        lambda view, _: view.change(3, 4, status="success", tx_hash=view.circs(3)[4].trans_id),
        3,
        ["is shown as success, but the chain has no such transaction"],
    ),
    "failed as success": (
        _change(1, 6, status="success", times=6),
        1,
        ["is shown as success, but its transaction was reverted"],
    ),
    "failed with times": (_change(1, 6, times=6), 1, ["shown as failed, but with times 6"]),
    "failed with another form": (_change(1, 6, form=b"{}"), 1, [r"\(transfer\): form and salt differ"]),
    "failed of another operator": (
        _change(1, 6, operator="coop", origin="coop"),
        1,
        ["operator 'coop'", "from 'coop'"],
    ),
    "success as failed": (
        _change(1, 2, status="failed", times=None),
        1,
        ["is shown as failed, but it happened: the contract took it"],
    ),
    "success as failed, without its hash": (
        _change(1, 2, status="failed", times=None, tx_hash=None, trans_id="0x" + "cd" * 32),
        1,
        ["is shown as failed, but it happened: the contract took it"],
    ),
    "failed of other goods": (
        _failed_of_other_goods,
        2,
        ["has a transaction whose circ does not name these goods"],
    ),
    "trans_id of another circ": (
        _trans_id_of_another_circ,
        2,
        [f"has the tx_hash {H}, but the transaction of its trans_id asks for something else"],
    ),
    "waiting process by another than the holder": (
        _by("roaster"),
        3,
        [r"\(process\) can't follow the circs shown before it: its operator 'roaster' does not hold the goods"],
    ),
    "waiting process by nobody": (_by("王二"), 3, ["its operator '王二' does not hold the goods"]),
    "waiting produce by another than the holder": (
        _by("coop", circ_type=0),
        3,
        [r"\(produce\) can't follow .* 'coop' does not hold the goods"],
    ),
    "waiting transfer to nobody else": (_waiting(circ_type=3), 3, ["its operator hands the goods to nobody else"]),
    "waiting process to another": (_waiting(to="roaster"), 3, ["a process goes to nobody"]),
    "waiting of no kind": (_waiting(circ_type=2), 3, ["is shown as kind 2, which is none"]),
    "waiting of no operator": (_waiting(operator=None), 3, ["shows as operator no username"]),
    "waiting from another": (
        _waiting(origin="coop"),
        3,
        ["shows as from 'coop', its operator is 'exporter'"],
    ),
    "unknown status": (
        _change(1, 7, status="done"),
        1,
        ["has the status 'done', want pending, failed or success", r"\(process, times 6\) is on", "1 circ is left out"],
    ),
    "no status": (_change(3, 4, status=None), 3, ["has the status nothing, want"]),
    "no trans_id": (_change(3, 4, trans_id=None), 3, ["circ number 5: trans_id is nothing, want 0x and 64 hex digits"]),
    "no hash as trans_id": (_change(3, 4, trans_id="0x\n1"), 3, [r"trans_id is '0x\\n1', want 0x and 64 hex digits"]),
    "no hash as tx_hash": (_change(3, 4, tx_hash="zz"), 3, ["has the tx_hash 'zz', want 0x and 64 hex digits"]),
    "success without tx_hash": (_change(1, 2, tx_hash=None), 1, ["is shown as success without its tx_hash"]),
    "hidden goods": (_hidden, 5, ["the node does not know them; the contract counts 2 circs of them"]),
    "class name": (
        _product(goods_class=replace(CLASS, name="Geisha")),
        2,
        ["class name is shown as 'Geisha', the form of the first produce circ says 'Yunnan Catimor'"],
    ),
    "class description": (_product(goods_class=replace(CLASS, description=b"\xff")), 2, ["class description"]),
    "class trademark": (_product(goods_class=replace(CLASS, trademark="")), 2, ["class trademark is shown as ''"]),
    "class material": (_product(goods_class=replace(CLASS, material_id=12)), 2, ["class material_id is shown as 12"]),
    "class id": (_product(goods_class=replace(CLASS, id=4)), 2, ["class id is shown as 4"]),
    "class org": (_product(goods_class=replace(CLASS, org_id=None)), 2, ["class org_id is shown as nothing"]),
    "no class": (_product(goods_class=None), 2, ["class id is shown as nothing"] + ["class "] * 5),
    "product time": (
        _product(serial=replace(SERIAL, product_time=SERIAL.product_time + 1)),
        2,
        [
            r"serial product time is shown as '2025-10-09T08:53:20.123457Z', the form of the first produce circ says "
            r"'2025-10-09T08:53:20.123456Z'"
        ],
    ),
    "product time beyond all times": (
        _product(serial=replace(SERIAL, product_time=10**30)),
        2,
        ["serial product time is shown as '1000000000000000000000000000000 microseconds since 1970'"],
    ),
    "creator": (
        _product(creator="grader"),
        2,
        ["their creator is shown as 'grader', the first produce circ's operator is 'coop'"],
    ),
    "serial": (_product(serial=replace(SERIAL, id=6)), 2, ["serial id is shown as 6"]),
    "no serial": (_product(serial=None), 2, ["serial id is shown as nothing", "serial product time"]),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("scope", ["all", "named"])
def test_a_lie_is_found(world: World, view: View, name: str, scope: str) -> None:
    lie, goods_id, wanted = LIES[name]
    lie(view, world)
    auditor = Auditor(view, world.chain, world.address)
    report = auditor.audit_all() if scope == "all" else auditor.audit(ALL)
    lines = [str(each) for each in report.differences]
    assert len(lines) == len(wanted), lines
    for line, pattern in zip(lines, wanted, strict=True):
        assert re.search(pattern, line), line
        assert line.startswith(f"goods {goods_id}: ")
        assert line.isprintable()
    assert report.summary.endswith(f", {len(wanted)} differences")
    assert report.goods == len(ALL)


def test_only_the_goods_that_differ_are_asked_for_again(world: World, view: View) -> None:
    view.change(1, 2, form=b"")
    Auditor(view, world.chain, world.address).audit_all()
    assert view.asked == len(ALL) + 1


def test_an_answer_that_is_none_is_a_difference(world: World) -> None:
    class Mumbler(View):
        def history(self, goods_id: int) -> ShownGoods | None:
            if goods_id == 4:
                raise Unreadable("GetCirc: 7 bytes that are no GetCircResponse")
            return super().history(goods_id)

    (difference,) = Auditor(Mumbler(world.view.goods), world.chain, world.address).audit_all().differences
    assert (difference.goods_id, difference.what) == (4, What.UNREADABLE)
    assert "7 bytes that are no GetCircResponse" in str(difference)


def test_a_circ_of_a_contract_that_looks_the_same(world: World, view: View) -> None:
    circ = replace(world.lookalike, goods_id=9, times=1)
    view.show(9, [*view.circs(9), circ])
    (difference,) = Auditor(view, world.chain, world.address).audit([9]).differences
    assert difference.what is What.NOT_ON_CHAIN
    assert "its transaction went to another address than the contract" in str(difference)


def test_an_event_that_another_address_emitted(world: World, view: View) -> None:
    """In a transaction to the contract, but not by the contract."""
    victim = view.circs(4)[1].trans_id

    def emitted_elsewhere(method: str, _: list[Any], answer: Any) -> Any:
        if method == "eth_getTransactionReceipt" and answer and answer["transactionHash"] == victim:
            return answer | {"logs": [log | {"address": "0x" + "11" * 20} for log in answer["logs"]]}
        return answer

    chain = Chain(Tampered(world.rpc, emitted_elsewhere))
    report = Auditor(view, chain, world.address).audit([4])
    assert "is shown as success, but its transaction made the contract take no circ" in str(report.differences[0])


def test_a_transaction_that_was_forked_off(world: World, view: View) -> None:
    victim = view.circs(4)[1].trans_id

    def forked_off(method: str, _: list[Any], answer: Any) -> Any:
        if method == "eth_getTransactionReceipt" and answer and answer["transactionHash"] == victim:
            logs = [log | {"blockHash": "0x" + "22" * 32} for log in answer["logs"]]
            return answer | {"blockHash": "0x" + "22" * 32, "logs": logs}
        return answer

    chain = Chain(Tampered(world.rpc, forked_off))
    report = Auditor(view, chain, world.address).audit([4])
    assert "its transaction is in a block that the chain has dropped" in str(report.differences[0])


def test_another_holder(world: World, view: View) -> None:
    def another_holder(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_call" and params[0]["data"] == "0x" + contract.goods_of_data(4).hex():
            return "0x" + (7).to_bytes(32, "big").hex() + answer[66:]
        return answer

    chain = Chain(Tampered(world.rpc, another_holder))
    (difference,) = Auditor(view, chain, world.address).audit_all().differences
    assert str(difference) == "goods 4: by the circs shown actor 1 holds the goods, by the contract actor 7"


def test_a_signature_that_is_not_the_operators(world: World, view: View) -> None:
    """The contract would not take it; the auditor looks all the same. Only an account with code is believed."""
    operator_has_code = False

    def other_signature(method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getTransactionByHash" and answer and answer["hash"] == view.circs(4)[1].trans_id:
            call, _ = contract.decode_circulate(bytes.fromhex(answer["input"][2:]))
            return answer | {"input": "0x" + contract.circulate_data(call, bytes(64) + b"\x1b").hex()}
        if method == "eth_getCode" and params[0].lower() != world.address.lower() and operator_has_code:
            return "0x00"
        return answer

    chain = Chain(Tampered(world.rpc, other_signature))
    (difference,) = Auditor(view, chain, world.address).audit([4]).differences
    assert difference.what is What.SIGNATURE
    assert "is not signed by its operator, actor 1 with 0x" in str(difference)
    operator_has_code = True
    assert Auditor(view, chain, world.address).audit([4]).differences == ()


def test_a_form_that_does_not_say_what_was_produced(world: World, view: View) -> None:
    circs = [replace(world.view.circs(3)[4], goods_id=77, circ_type=0, times=0, form=b'{"class": []}')]
    view.goods[77] = ShownGoods(77, CLASS, SERIAL, tuple(circs))
    (difference,) = Auditor(view, world.chain, world.address).audit([77]).differences
    assert "is the first produce of the goods, but its form does not say what was produced" in str(difference)


def test_goods_without_any_circ(world: World, view: View) -> None:
    view.goods[77] = ShownGoods(77, CLASS, SERIAL, ())
    report = Auditor(view, world.chain, world.address).audit([1, 77])
    (difference,) = report.differences
    assert str(difference).startswith("goods 77: are shown without any circ, and the contract has taken none")
    assert report.fresh == (77,)


@pytest.mark.parametrize("kind", [1, 3, 4], ids=["process", "transfer", "exam"])
def test_invented_goods_whose_circs_wait(world: World, view: View, kind: int) -> None:
    """Nobody has produced them, and none is about to."""
    waiting = replace(world.view.circs(3)[4], goods_id=77, circ_type=kind, times=0, to="roaster" if kind == 3 else None)
    view.goods[77] = ShownGoods(77, CLASS, SERIAL, (replace(waiting, to=waiting.to or waiting.operator),))
    report = Auditor(view, world.chain, world.address).audit([77])
    (difference,) = report.differences
    assert "can't follow the circs shown before it: nobody has produced the goods" in str(difference)
    assert report.fresh == (77,)


def test_a_username_that_two_actors_have(world: World, view: View) -> None:
    """The contract does not allow it; the auditor looks all the same."""
    digests = [name_digest(name).hex() for name in ("coop", "roaster")]

    def same_name(method: str, _: list[Any], answer: Any) -> Any:
        if method == "eth_getLogs":
            return [log | {"data": log["data"].replace(digests[1], digests[0])} for log in answer]
        return answer

    (difference,) = Auditor(view, Chain(Tampered(world.rpc, same_name)), world.address).audit([4]).differences
    assert difference.what is What.NAME
    assert str(difference).endswith("shows the username 'coop', which several actors have: 1, 3")


def _history_begun_by_an_exam(produced: bool) -> tuple[ShownGoods, Facts]:
    """Goods 7, examined before they were produced, which a former contract took; or never produced."""
    actors = Actors()
    for actor, name in ((1, "coop"), (2, "grader")):
        actors.learn(
            Place(actor, 0, 0), contract.ActorRegistered(actor, "0x" + f"{actor:040x}", Rights(7), name_digest(name))
        )
    evidence, events, circs = {}, [], []
    kinds = [(CircType.EXAM, 2, "grader", b"{}"), (CircType.PRODUCE, 1, "coop", FORM.to_bytes())]
    for times, (kind, actor, name, form) in enumerate(kinds[: 2 if produced else 1]):
        salt, tx_hash = bytes([times]) * 16, "0x" + f"{times:064x}"
        circ = Circ(ranges_of([7]), kind, actor, actor, form_digest(salt, form), times)
        events.append(Event(tx_hash, Place(10 + times, 0, 0), circ))
        evidence[tx_hash] = Evidence(tx_hash, 10 + times, events=(events[-1],))
        who = (name, name, name)
        circs.append(ShownCirc(7, int(kind), *who, form, salt, tx_hash, tx_hash, times, "success", recorded_at=times))
    holder = 1 if produced else 0
    facts = Facts(20, holder, len(events), actors, evidence, events, block_times={}, began=0, now=2)
    return ShownGoods(7, CLASS, SERIAL, tuple(circs), "coop"), facts


def test_the_product_is_held_against_the_first_produce_wherever_it_is() -> None:
    shown, facts = _history_begun_by_an_exam(produced=True)
    lie = replace(shown, goods_class=replace(CLASS, name="Geisha"), creator="grader")
    honest = {str(each) for each in judge(7, shown, facts).differences}
    found = [str(each) for each in judge(7, lie, facts).differences if str(each) not in honest]
    assert len(found) == 2
    assert "creator is shown as 'grader'" in found[0]
    assert "class name is shown as 'Geisha'" in found[1]
    assert not [each for each in judge(7, shown, facts).differences if each.what in (What.PRODUCT, What.CREATOR)]


def test_goods_that_were_never_produced_say_nothing_of_themselves() -> None:
    shown, facts = _history_begun_by_an_exam(produced=False)
    (difference,) = [each for each in judge(7, shown, facts).differences if each.what is What.PRODUCT]
    assert "the first produce circ is not shown: nothing says what the goods are" in str(difference)


@pytest.mark.parametrize("text", ["a\nb", "\x1b[2Jgoods 1: fine", "\u202eevil", "\ud800", "x" * 5_000, "\r\x07\x9b1A"])
def test_a_difference_is_one_printable_line(text: str) -> None:
    for made in (Difference(1, What.FORM, text, 6), Unreadable(text), AuditImpossible(text)):
        assert str(made).isprintable()
        assert len(str(made)) < 1_000
    assert str(Difference(1, What.FORM, "咖啡 ok", 6)) == "goods 1: 咖啡 ok"
