"""Lies that are built on the chain itself: what forgers can have mined, and what a node can hide behind it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from node.chain import contract, signer
from node.chain.rpc import Chain, HttpRpc
from node.chain.transport import RpcError
from node.domain.form import form_digest
from node.domain.model import Circ, Rights, ranges_of
from node.flow.audit import AuditImpossible, Auditor, Difference, What
from tests.audit.world import EXAM, FORGER, FORM, PROCESS, PRODUCE, RELAY, TRANSFER, Tampered, World
from tests.chain.servers import anvil, fund


def differences(own: World, **settings: Any) -> list[Difference]:
    """What is found in all goods; the same must be found when they are named, but for hidden refusals."""
    auditor = Auditor(own.view, own.chain, own.address, **settings)
    found = list(auditor.audit_all().differences)
    named = auditor.audit(sorted(own.view.goods)).differences
    assert [each for each in found if "was refused by the contract" not in each.detail] == list(named)
    return found


# --- another address's event


def _log(circ: Circ) -> bytes:
    """Topics and data of the event that the contract would emit for a circ."""
    topics = (int.from_bytes(contract.CIRCULATED_TOPIC, "big"), circ.operator, circ.to, circ.circ_type)
    spans = [number for span in circ.goods for number in (span.first, span.count)]
    data = (int.from_bytes(circ.form_digest, "big"), circ.version, 96, len(circ.goods), *spans)
    return b"".join(number.to_bytes(32, "big") for number in (*topics, *data))


def test_an_event_that_another_address_emits_in_the_same_transaction(own: World) -> None:
    """The contract takes a circ of goods 2, and a forger emits beside it what looks like one of goods 1."""
    forger = own.send(None, FORGER).contract_address
    _, shown = own.prepare([2], PROCESS, "coop")
    own.forget()
    call = own.last_data
    salt, form = bytes(16), b'{"forged": true}'
    forged = Circ(ranges_of([1]), PROCESS, 1, 1, form_digest(salt, form), 1)
    head = bytes(12) + bytes.fromhex(own.address[2:]) + len(call).to_bytes(32, "big")
    receipt = own.send(forger, head + call + _log(forged))
    assert [log.address == own.address for log in receipt.logs] == [True, False]
    assert receipt.logs[0].topics[0] == receipt.logs[1].topics[0] == contract.CIRCULATED_TOPIC
    own.view.add(2, replace(shown, tx_hash=receipt.tx_hash, status="success"))
    assert differences(own) == []
    own.view.add(1, replace(shown, tx_hash=receipt.tx_hash, status="success", form=form, salt=salt))
    (found,) = differences(own)
    assert (found.what, found.step) == (What.OTHER_GOODS, 5)
    assert found.detail.endswith("has a transaction whose circ does not name these goods")


def test_an_event_that_only_another_address_emits(own: World) -> None:
    forger = own.send(None, FORGER).contract_address
    salt, form = bytes(16), b'{"forged": true}'
    forged = Circ(ranges_of([1]), PROCESS, 1, 1, form_digest(salt, form), 1)
    receipt = own.send(forger, bytes(64) + _log(forged))
    assert len(receipt.logs) == 1
    shown = replace(own.view.circs(1)[0], circ_type=1, form=form, salt=salt, times=1)
    own.view.add(1, replace(shown, trans_id=receipt.tx_hash, tx_hash=receipt.tx_hash))
    (found,) = differences(own)
    assert (found.what, found.step) == (What.NOT_ON_CHAIN, 4)
    assert found.detail.endswith("its transaction went to another address than the contract")


# --- what was mined once


@pytest.fixture
def reorganised() -> Iterator[World]:
    """A network that has dropped the block of the last circ that the node shows."""
    key = signer.new_key()
    with anvil() as url, closing(HttpRpc(url)) as rpc:
        fund(rpc, signer.address_of(key))
        made = World(rpc, key, fee_per_gas=10**10)
        made.register("coop", Rights.CIRCULATE | Rights.PRODUCE)
        made.circulate([1], PRODUCE, "coop", form=FORM.to_bytes())
        (before,) = rpc.batch([("evm_snapshot", [])])
        made.circulate([1], PROCESS, "coop", form=b"{}")
        assert Auditor(made.view, made.chain, made.address).audit_all().differences == ()
        (reverted,) = rpc.batch([("evm_revert", [before])])
        assert not isinstance(reverted, RpcError)
        assert reverted
        made.forget()
        made.set_rights("coop", Rights.CIRCULATE | Rights.PRODUCE)
        yield made


def test_a_circ_that_was_forked_off_is_no_success(reorganised: World) -> None:
    (found,) = differences(reorganised)
    assert (found.what, found.step) == (What.NOT_ON_CHAIN, 4)
    assert found.detail.endswith("is shown as success, but the chain has no such transaction")
    reorganised.view.change(1, 1, status="pending", tx_hash=None)
    assert differences(reorganised) == []


# --- what the contract refused


def _refused(own: World) -> str:
    """Have the contract refuse a circ of goods 1; its trans_id."""
    failed = own.circulate([1], TRANSFER, "exporter", "roaster", b'{"why": "not mine"}')
    assert failed.status == "failed"
    return str(failed.trans_id)


def test_a_failed_circ_that_is_hidden(own: World) -> None:
    trans_id = _refused(own)
    assert differences(own) == []
    own.view.show(1, own.view.circs(1)[:1])
    (found,) = differences(own)
    assert (found.what, found.step) == (What.LEFT_OUT, 11)
    assert found.detail == f"circ {trans_id[:14]}… (transfer) was refused by the contract, but is not shown as failed"


def test_a_failed_circ_that_is_hidden_behind_another(own: World) -> None:
    trans_id = _refused(own)
    again = own.circulate([1], TRANSFER, "exporter", "roaster")
    own.view.show(1, [own.view.circs(1)[0], replace(again, goods_id=1)])
    (found,) = differences(own)
    assert trans_id[:14] in found.detail


def test_nonsense_of_strangers_is_no_hidden_circ(own: World) -> None:
    """Neither what nobody signed, nor what was sent once more, nor what says nothing."""
    own.circulate([1], PROCESS, "coop")
    assert not own.send(own.address, own.last_data).status
    own.prepare([1], TRANSFER, "exporter", "roaster")
    own.forget()
    call, _ = contract.decode_circulate(own.last_data)
    assert not own.send(own.address, contract.circulate_data(call, bytes(64) + b"\x1b")).status
    assert not own.send(own.address, own.last_data[:40]).status
    assert not own.send(own.address, contract.circulate_data(call, b"")).status
    assert differences(own) == []


def test_what_a_sovereign_actor_tries_alone_is_not_the_nodes(own: World) -> None:
    """Only the account that the node sends from shows that the node knew."""
    key = own.make_sovereign("exporter")
    own.prepare([1], TRANSFER, "exporter", "roaster", b'{"alone": true}')
    own.forget()
    assert not own.send_as(key, own.last_data).status
    assert differences(own) == []
    _refused(own)
    own.view.show(1, own.view.circs(1)[:1])
    (found,) = differences(own)
    assert "was refused by the contract" in found.detail


# --- actors that were changed later


def test_actors_that_were_changed_later_are_what_they_were(own: World) -> None:
    """An account and rights that were changed make no former circ wrong, whoever signed which."""
    own.circulate([1], EXAM, "grader", form=b'{"score": 80}')
    own.change_key("coop")
    own.set_rights("coop", Rights.CIRCULATE)
    own.set_rights("grader", Rights.CIRCULATE)
    own.make_sovereign("grader")
    own.circulate([1], PROCESS, "coop")
    assert own.circulate([1], PRODUCE, "coop", form=FORM.to_bytes()).status == "failed"
    assert own.circulate([1], EXAM, "grader").status == "failed"
    assert differences(own) == []


def test_rights_that_an_actor_no_longer_has_make_no_success(own: World) -> None:
    own.set_rights("grader", Rights.CIRCULATE)
    assert own.circulate([1], EXAM, "grader").status == "failed"
    own.view.change(1, 1, status="success", times=1)
    (found,) = differences(own)
    assert (found.what, found.step) == (What.NOT_ON_CHAIN, 4)
    assert found.detail.endswith("is shown as success, but its transaction was reverted")


def test_a_later_account_has_not_signed_former_circs(own: World) -> None:
    """The endpoint shows a call that the actor's new key signed: the contract would not have taken it then."""
    circ = own.circulate([1], PROCESS, "coop")
    call, _ = contract.decode_circulate(own.last_data)
    own.change_key("coop")
    signed_later = contract.circulate_data(call, own.signature("coop", call))

    def other_signature(method: str, _: list[Any], answer: Any) -> Any:
        if method == "eth_getTransactionByHash" and answer and answer["hash"] == circ.trans_id:
            return answer | {"input": "0x" + signed_later.hex()}
        return answer

    chain = Chain(Tampered(own.rpc, other_signature))
    for found in (
        Auditor(own.view, chain, own.address).audit_all(),
        Auditor(own.view, chain, own.address).audit([1]),
    ):
        (difference,) = found.differences
        assert (difference.what, difference.step) == (What.SIGNATURE, 7)


# --- an endpoint that withholds logs


@pytest.mark.parametrize("relayed", [True, False], ids=["through a relay", "directly"])
def test_an_endpoint_that_withholds_a_log_is_noticed(own: World, relayed: bool) -> None:
    """The node leaves the same circ out. Its call shows that it was taken, or what comes later does not follow."""
    relay = own.send(None, RELAY).contract_address if relayed else None
    hidden = own.copied(1, PROCESS, "coop", through=relay, later=False)
    own.circulate([1], TRANSFER, "coop", "exporter")

    def withhold(method: str, _: list[Any], answer: Any) -> Any:
        if method == "eth_getLogs":
            return [log for log in answer if log["transactionHash"] != hidden.tx_hash]
        return answer

    own.view.show(1, [own.view.circs(1)[0], replace(own.view.circs(1)[2], times=1)])
    found = Auditor(own.view, Chain(Tampered(own.rpc, withhold)), own.address)
    with pytest.raises(AuditImpossible, match="WrongVersion.*is one of them missing" if relayed else "log is missing"):
        found.audit_all()
    assert [each.detail for each in found.audit([1]).differences] == [
        "1 circ is left out: the contract counts 3, the node shows 2 of them"
    ]


# --- a fee bump


@pytest.mark.parametrize("status", ["success", "failed"])
def test_a_trans_id_that_was_outbid_is_told_as_unproven(own: World, status: str) -> None:
    """The circ is proven by its tx_hash; that it was first carried by its trans_id is the node's word."""
    kind, operator, to = (PROCESS, "coop", "") if status == "success" else (TRANSFER, "exporter", "roaster")
    own.sign(own.address, b"")
    outbid = own.sign(own.address, b"").hash
    own.forget()
    own.forget()
    done = own.circulate([1], kind, operator, to)
    assert done.status == status
    own.view.change(1, 1, trans_id=outbid)
    assert differences(own) == []
    report = Auditor(own.view, own.chain, own.address).audit_all()
    line = "trans_ids that the chain does not know, beside a tx_hash that proves the circ: 1"
    assert (line in report.lines) == (status == "success")
    own.view.change(1, 1, form=b'{"other": 1}')
    assert What.FORM in [each.what for each in differences(own)]
