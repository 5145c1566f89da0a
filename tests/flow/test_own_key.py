"""Partners who keep their own key, on Anvil."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from node.api.client import AuditedNode, NodeClient
from node.chain import contract, gas, signer
from node.domain.records import UNFINISHED
from node.flow.audit import Auditor
from node.flow.wallets import Wallets
from node.store import outbox, tables
from node.wire.vtrace.v1 import service_pb2 as wire
from tests.chain.servers import fund
from tests.support import people
from tests.support.node import eventually
from tests.support.own_key import Partner, batch, circ, with_key
from tests.support.wire_client import Refusal
from tests.wallet.deployed import Wallet

from .world import Net, Running, config, in_index, started

SLACK_GAS = 100
"""What the same check of another digest may use more: its memory has other bytes, and its calldata."""

Make = Callable[..., Partner]


@pytest.fixture
def node(net: Net, tmp_path: Path) -> Iterator[Running]:
    with started(config(tmp_path / "d", net.url, net.key_file)) as running:
        yield running


@pytest.fixture
def partner(node: Running) -> Iterator[Make]:
    """Makes a transporter with a key of its own, or with a wallet."""
    with ExitStack() as opened:

        def make(wallet: Wallet | None = None, person: people.Person | None = None) -> Partner:
            key = signer.new_key()
            account, sign = (signer.address_of(key), with_key(key)) if wallet is None else (wallet.account, wallet.sign)
            made = Partner(person or people.transporter(node.client), account, sign)
            opened.callback(made.close)
            return made

        yield make


def _goods_of(maker: people.Maker, owner: Partner, total: int = 1) -> list[int]:
    """Goods that a partner holds."""
    ids = maker.goods(total)
    maker.boss.call("BatchCirc", goods_ids=ids, circ_type=3, to=owner.person.username)
    return ids


def _refused(status: str, wanted: str, call: Callable[..., Any], *arguments: Any) -> Refusal:
    with pytest.raises(Refusal, match=wanted) as refused:
        call(*arguments)
    assert refused.value.status == status, refused.value
    return refused.value


def _audited(node: Running, net: Net, goods_ids: list[int]) -> None:
    """Everything is settled, a success, and audits without a difference."""
    for goods_id in goods_ids:
        records = people.settled(node.client, goods_id)
        assert {record.status.value for record in records} == {"success"}
        assert net.goods(node.ready.contract, goods_id) == in_index(goods_id)
    with NodeClient(node.ready.grpc) as client:
        report = Auditor(AuditedNode(client), net.chain, node.ready.contract).audit(goods_ids)
    assert not report.differences, report.lines


def _account_on_chain(net: Net, node: Running, actor: int) -> str:
    found = contract.decode_actor_of(net.chain.call(node.ready.contract, contract.actor_of_data(actor)))
    return "" if found is None else found[0]


def test_a_partner_takes_its_key_over_and_signs_by_eth_account_alone(net: Net, node: Running, partner: Make) -> None:
    maker, own = people.maker(node.client), partner()
    before = own.shown()
    assert (before.actor, before.account, before.sovereign, before.typed_data) == (0, "", False, "")
    assert (before.chain_id, before.contract) == (node.ready.chain_id, node.ready.contract)
    goods_id, other, third = _goods_of(maker, own, 3)
    # What the node signed for it stays good, though it is not mined before the key is handed over.
    net.mining(False)
    own.send(circ(goods_id, form=b'{"step": 1}'))
    answer = own.set_account()
    assert own.set_account() == answer
    net.mining(True)
    net.mine()
    after = own.shown()
    assert (after.actor, after.account, after.sovereign) == (answer.actor, own.account, True)

    request = circ(goods_id, form=b'{"step": 2}')
    prepared = own.prepare(request)
    message = json.loads(prepared.typed_data)
    assert message["message"]["version"] == prepared.version == 3
    signature = own.sign(prepared.typed_data)
    assert Account.recover_message(encode_typed_data(full_message=message), signature=signature) == own.account
    trans_id = own.send(request, *own.signed(prepared)).trans_id.value
    assert own.record(batch([goods_id, other])).goodsId2transId.keys() == {goods_id, other}
    own.record(circ(third, kind=3, to=maker.boss.username))
    records = people.settled(node.client, goods_id)
    assert records[3].trans_id.value == trans_id
    assert bytes(tables.Circ.get_by_id(records[3].id.value).salt) == prepared.salt
    _audited(node, net, [goods_id, other, third])
    assert _account_on_chain(net, node, answer.actor) == own.account
    eventually(lambda: outbox.count(UNFINISHED) == 0)
    # The key that the node had is gone.
    assert tables.Actor.get_by_id(answer.actor).key_sealed == b""


def test_nothing_is_recorded_without_the_partners_signature(net: Net, node: Running, partner: Make) -> None:
    maker, own, other = people.maker(node.client), partner(), partner()
    goods_id, _ = _goods_of(maker, own, 2)
    request = circ(goods_id, form=b'{"t": 1}')
    _refused("FAILED_PRECONDITION", "the node keeps the key of actor", own.prepare, request)
    junk = [("vtrace-signature-bin", bytes(65)), ("vtrace-salt-bin", bytes(16))]
    _refused("FAILED_PRECONDITION", "call SetAccount first", own.send, request, *junk)
    own.set_account()
    told = _refused("FAILED_PRECONDITION", "keeps its own key", own.send, request)
    assert "PrepareCirc" in told.message
    prepared = own.prepare(request)
    good = own.signed(prepared)
    signature, salt, version = good
    before = in_index(goods_id)

    def wrong(signed: tuple[str, Any] = signature, *others: tuple[str, Any], to_send: Any = request) -> Any:
        return own.send(to_send, signed, *others)

    strange = ("vtrace-signature-bin", other.sign(prepared.typed_data))
    for bad in (
        [strange, salt, version],
        [("vtrace-signature-bin", bytes(65)), salt, version],
        [("vtrace-signature-bin", b"\1" * 64), salt],
        [signature, ("vtrace-salt-bin", bytes(16)), version],
        [signature, salt, version, version],
        [signature, ("vtrace-salt-bin", bytes(15)), version],
        [signature],
        [salt],
        [version],
        [("vtrace-signature-bin", b""), salt],
        [("vtrace-signature-bin", bytes(4097)), salt],
        [signature, salt, ("vtrace-version", "-1")],
        [signature, salt, ("vtrace-version", "9" * 19)],
    ):
        _refused("INVALID_ARGUMENT", "vtrace-", wrong, *bad)
    _refused("INVALID_ARGUMENT", "PrepareCirc gave", lambda: wrong(*good, to_send=circ(goods_id, form=b'{"t": 2}')))
    # Without the version the node can't tell a mistake from a state that has moved on.
    assert _refused("FAILED_PRECONDITION", "prepare|PrepareCirc", wrong, strange, salt).metadata["version"] == "2"
    assert in_index(goods_id) == before
    own.send(request, *good)
    again = _refused("FAILED_PRECONDITION", "was signed for version 2; now the goods' version is 3", wrong, *good)
    assert (again.metadata["version"], again.metadata["given"]) == ("3", "2")
    assert _refused("FAILED_PRECONDITION", "version is 3", wrong, signature, salt).metadata["version"] == "3"
    _audited(node, net, [goods_id])


def test_a_producer_signs_what_it_makes(net: Net, node: Running, partner: Make) -> None:
    maker, others = people.maker(node.client), people.maker(node.client)
    boss = partner(person=maker.boss)
    wanted = _goods(maker, 3)
    _refused("FAILED_PRECONDITION", "the node keeps the key", boss.prepare, wanted)
    boss.set_account()
    _refused("FAILED_PRECONDITION", "keeps its own key", boss.send, wanted)
    prepared = boss.prepare(wanted)
    assert tables.Goods.select().count() == 0
    (other,) = others.goods(1)
    stale = _refused("FAILED_PRECONDITION", "PrepareCirc", boss.send, wanted, *boss.signed(prepared, version=False))
    assert stale.metadata["version"] == "0"
    _refused("FAILED_PRECONDITION", "another circ", boss.send, wanted, *boss.signed(prepared))
    ids = [one.value for one in boss.record(wanted).ids]
    assert ids == [other + 1, other + 2, other + 3]
    _refused("INVALID_ARGUMENT", "sum: .* want at most the first", boss.prepare, _goods(maker, 9_000))
    _refused("PERMISSION_DENIED", "BatchCreateGoods needs", partner().prepare, wanted)
    boss.record(batch(ids))
    _audited(node, net, ids)


def _goods(maker: people.Maker, total: int) -> Any:
    return wire.BatchCreateGoodsRequest(serial_id=maker.serial_id, sum=total)


def test_an_answer_that_got_lost_is_asked_for_again(node: Running, partner: Make) -> None:
    maker, own = people.maker(node.client), partner()
    (goods_id,) = _goods_of(maker, own)
    own.set_account()
    request, key = circ(goods_id), ("idempotency-key", "once")
    signed = own.signed(own.prepare(request))
    first = own.send(request, *signed, key)
    assert own.send(request, *signed, key) == first
    assert in_index(goods_id).times == 3


def test_only_the_account_itself_changes_a_sovereign_actors_account(net: Net, node: Running, partner: Make) -> None:
    maker, own = people.maker(node.client), partner()
    (goods_id,) = _goods_of(maker, own)
    key, following = signer.new_key(), signer.new_key()
    own.account, own.sign = signer.address_of(key), with_key(key)
    actor = own.set_account().actor
    own.account, own.sign = signer.address_of(following), with_key(following)
    possession = own.sign(own.shown(own.account).typed_data)
    told = _refused("FAILED_PRECONDITION", "is sovereign: only its account", own.set_account)
    assert "setAccount(uint32 actor,address account,bytes possession)" in told.message
    eventually(lambda: outbox.count(UNFINISHED) == 0)

    fund(net.rpc, signer.address_of(key))
    data = contract.set_account_data(actor, own.account, possession)
    fees = node.node._ledger.fees
    changed = signer.sign_transaction(
        key, chain_id=node.ready.chain_id, nonce=0, to=node.ready.contract, data=data, gas=100_000, fees=fees
    )
    assert net.chain.send([changed.raw]) == [None]
    eventually(lambda: _account_on_chain(net, node, actor) == own.account)
    own.record(circ(goods_id))
    assert own.shown().account == own.account
    _audited(node, net, [goods_id])


def test_possession_has_to_be_proved(partner: Make) -> None:
    own, other = partner(), partner()
    _refused("INVALID_ARGUMENT", "GetAccount gives", own.set_account, bytes(65))
    theirs = other.sign(own.shown(other.account).typed_data)
    _refused("INVALID_ARGUMENT", "signature of account", own.set_account, theirs)
    _refused("INVALID_ARGUMENT", "1 to 4096 bytes", own.set_account, b"")
    _refused("INVALID_ARGUMENT", "at most 4096 bytes", own.set_account, bytes(4097))
    good = own.sign(own.shown(own.account).typed_data)
    for account in ("", "0x12", own.account[2:], "0x" + "0" * 40, own.account.swapcase()):
        own.account = account
        _refused("INVALID_ARGUMENT", "address", own.set_account, good)
    _refused("INVALID_ARGUMENT", "address", own.shown, "0x12")
    assert not own.shown().sovereign
    assert not [tx for tx in tables.Outbox.select() if tx.kind == "set_account"]


def test_a_batch_for_several_transactions_has_to_be_cut(node: Running, partner: Make) -> None:
    maker, own = people.maker(node.client), partner()
    ids = _goods_of(maker, own, 9_000)[::4]
    own.set_account()
    told = _refused("INVALID_ARGUMENT", "want at most the first", own.prepare, batch(ids))
    fits = int(told.message.split("at most the first ")[1].split(",")[0])
    assert 100 < fits < len(ids)
    answer = own.record(batch(ids[:fits]))
    assert len(set(answer.goodsId2transId.values())) == 1
    _refused("INVALID_ARGUMENT", "want at most the first", own.prepare, batch(ids[: fits + 8]))
    assert {one.status.value for one in people.settled(node.client, ids[0])} == {"success"}


def test_a_wallet_of_several_keys_records(net: Net, node: Running, partner: Make) -> None:
    maker, wallet = people.maker(node.client), Wallet(net, owners=3, threshold=2)
    own = partner(wallet)
    goods_id, other = _goods_of(maker, own, 2)
    alone = wallet.sign(own.shown(own.account).typed_data, 1)
    _refused("INVALID_ARGUMENT", "signature of account", own.set_account, alone)
    own.set_account()
    eventually(lambda: outbox.count(UNFINISHED) == 0)
    request = circ(goods_id)
    prepared = own.prepare(request)
    salt = ("vtrace-salt-bin", prepared.salt)
    one = ("vtrace-signature-bin", wallet.sign(prepared.typed_data, 1))
    _refused("FAILED_PRECONDITION", "is not what account", own.send, request, one, salt)
    _refused("INVALID_ARGUMENT", "signature of account", own.send, request, one, salt, ("vtrace-version", "2"))
    own.send(request, *own.signed(prepared))
    stale = own.signed(prepared, version=False)
    assert _refused("FAILED_PRECONDITION", "PrepareCirc", own.send, request, *stale).metadata["version"] == "3"
    own.record(batch([goods_id, other]))
    _audited(node, net, [goods_id, other])


def test_the_gas_that_a_wallet_may_use_is_enough_on_the_chain(
    net: Net, node: Running, partner: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the least allowance at which the account's answer is heard, the contract hears it too."""
    maker, wallet = people.maker(node.client), Wallet(net, owners=20, threshold=20)
    own = partner(wallet)
    own.sign = lambda text: wallet.sign(text, 20)
    ids = _goods_of(maker, own, 3)
    wallets, digest = Wallets(net.chain, node.ready.contract), bytes(range(32))
    signature = b"".join(signer.sign_digest(key, digest) for key in wallet.keys)
    low, high = 0, gas.WALLET_GAS
    while high - low > 1:
        monkeypatch.setattr(gas, "WALLET_GAS", (low + high) // 2)
        if wallets.verdict(wallet.account, digest, signature).approves:
            high = gas.WALLET_GAS
        else:
            low = gas.WALLET_GAS
    monkeypatch.setattr(gas, "WALLET_GAS", low - 1_000)
    _refused("INVALID_ARGUMENT", "signature of account", own.set_account)
    monkeypatch.setattr(gas, "WALLET_GAS", high + SLACK_GAS)
    own.set_account()
    eventually(lambda: outbox.count(UNFINISHED) == 0)
    own.record(circ(ids[0]))
    own.record(batch(ids))
    _audited(node, net, ids)


def test_a_wallet_that_takes_its_word_back_stops_nothing_but_its_own(net: Net, node: Running, partner: Make) -> None:
    maker, wallet = people.maker(node.client), Wallet(net, owners=3, threshold=2)
    own = partner(wallet)
    (goods_id,) = _goods_of(maker, own)
    people.settled(node.client, goods_id)
    net.mining(False)
    own.set_account()
    assert own.shown().sovereign
    _refused("UNAVAILABLE", "not final on the chain yet", own.record, circ(goods_id))
    eventually(lambda: all(net.in_pool(tx.tx_hash) for tx in tables.Outbox.select()))
    wallet.ask_for_threshold(3)
    net.mining(True)
    net.mine()
    eventually(lambda: not own.shown().sovereign)
    own.send(circ(goods_id))
    _audited(node, net, [goods_id])
    assert not node.fatal.is_set()


def test_while_the_chain_is_away_keys_record_and_wallets_wait(net: Net, node: Running, partner: Make) -> None:
    maker, wallet = people.maker(node.client), Wallet(net)
    own, org = partner(), partner(wallet)
    (goods_id,), (other,) = _goods_of(maker, own), _goods_of(maker, org)
    own.set_account()
    org.set_account()
    eventually(lambda: outbox.count(UNFINISHED) == 0)
    prepared = org.prepare(circ(other))
    node.node._rpc.close()
    own.record(circ(goods_id))
    _refused("UNAVAILABLE", "can't tell now", org.send, circ(other), *org.signed(prepared))
    assert (in_index(goods_id).times, in_index(other).times) == (3, 2)
