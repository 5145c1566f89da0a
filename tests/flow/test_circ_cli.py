"""``vtrace circ``, the reference client, against a node on Anvil."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from click.testing import CliRunner, Result
from eth_account import Account

from node.api.client import NodeClient, Refused
from node.api.partner import TRIES, Partner
from node.chain import signer
from node.cli import main
from node.domain.model import CircType
from node.flow.signing import Wanted, checked_circ, signed_circ
from tests.support import people
from tests.support.node import eventually

from .world import Net, Running, config, in_index, started

KEY = bytes([77]) * 32
ACCOUNT = signer.address_of(KEY)


@pytest.fixture
def node(net: Net, tmp_path: Path) -> Iterator[Running]:
    with started(config(tmp_path / "d", net.url, net.key_file)) as running:
        yield running


def _circ(node: Running, *args: str, stdin: str = "") -> Result:
    return CliRunner().invoke(main, ["circ", *args, "--node", node.ready.grpc], input=stdin)


def _done(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_partner_signs_on_its_own_machine(net: Net, node: Running, tmp_path: Path) -> None:
    maker, own, other = people.maker(node.client), people.transporter(node.client), people.register(node.client)
    first, second = maker.goods(2)
    maker.boss.call("BatchCirc", goods_ids=[first, second], circ_type=3, to=own.username)
    key, token, keystore, password = (tmp_path / name for name in ("key", "token", "keystore.json", "password"))
    key.write_text("0x" + KEY.hex() + "\n")
    token.write_text(own.client.token or "")
    keystore.write_text(json.dumps(Account.encrypt(KEY, "p w", kdf="pbkdf2", iterations=10)))
    password.write_text("p w\n")
    by_phone = ["--phone", own.phone, "--key", str(key)]
    by_token = ["--token-file", str(token), "--ledger-json", str(keystore)]

    early = _circ(node, "create", str(first), "--kind", "process", *by_token, "--password-file", str(password))
    assert (early.exit_code, "keeps no key of its own" in early.output) == (1, True)
    said = _done(_circ(node, "account", *by_phone, stdin=f"{people.PASSWORD}\n"))
    assert said.splitlines()[1] == f"account {ACCOUNT}"

    form = '{"step": "dried"}'
    done = _circ(node, "create", str(second), str(first), "--kind", "process", "--form", form, *by_token, stdin="p w\n")
    lines = [line.split() for line in _done(done).splitlines()]
    assert [int(goods_id) for goods_id, _ in lines] == [first, second]
    assert f"contract {node.ready.contract}" in done.stderr
    records = people.settled(node.client, first)
    assert (records[-1].trans_id.value, records[-1].from_value.value) == (lines[0][1], form)

    hand = ["create", str(first), "--kind", "transfer", "--to", other.username, *by_phone, "--rpc", net.url]
    hand += ["--chain-id", str(node.ready.chain_id), "--contract", node.ready.contract.lower()]
    result = _circ(node, *hand, stdin=f"{people.PASSWORD}\n")
    if result.exit_code:  # the receiver had no actor before, and the chain may not have it yet
        assert "is not registered on the chain yet" in result.output
        eventually(lambda: _circ(node, *hand, stdin=f"{people.PASSWORD}\n").exit_code == 0)
    assert in_index(first).holder != in_index(second).holder
    records = people.settled(node.client, first)
    assert [(one.circ_type, one.to.value) for one in records[3:]] == [(3, other.username)]

    for more, told in (
        (["--chain-id", "1"], "not signed: the node is on chain"),
        (["--contract", ACCOUNT], "not signed: the node's contract is"),
        (["--to", other.username], "nothing for any other kind"),
        (["--form", "[]"], "not a JSON object"),
        (["--password-file", str(tmp_path)], "Invalid value"),
        (["--password-file", str(token)], "the password is another one"),
    ):
        refused = _circ(node, "create", str(second), "--kind", "process", *by_token, *more, stdin="p w\n")
        assert (refused.exit_code != 0, told in refused.output) == (True, True), refused.output
    key.write_text("12")
    refused = _circ(node, "create", str(second), "--kind", "process", *by_phone, stdin=f"{people.PASSWORD}\n")
    assert "want the 64 hex digits" in refused.output
    key.write_text((bytes([78]) * 32).hex())
    refused = _circ(node, "create", str(second), "--kind", "process", *by_phone, stdin=f"{people.PASSWORD}\n")
    assert f"has account {ACCOUNT}, the key is of" in refused.output
    assert in_index(second).times == 3


def test_a_receiver_is_looked_up_on_the_chain(net: Net, node: Running) -> None:
    from node.flow.signing import NotWhatWasAsked, Place, check_receiver

    maker, own = people.maker(node.client), people.transporter(node.client)
    (goods_id,) = maker.goods(1)
    maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=3, to=own.username)
    people.settled(node.client, goods_id)
    place = Place(node.ready.chain_id, node.ready.contract)
    check_receiver(net.chain, place, 2, own.username)
    with pytest.raises(NotWhatWasAsked, match=f"actor 1, is not {own.username}"):
        check_receiver(net.chain, place, 1, own.username)
    with pytest.raises(NotWhatWasAsked, match="actor 3, is not registered on the chain yet"):
        check_receiver(net.chain, place, 3, own.username)


class Losing(NodeClient):
    """A way to a node on which the answers of BatchCirc get lost, as often as it is told."""

    losses = 0

    def call(self, name, request, token=None, metadata=()):  # type: ignore[no-untyped-def]
        answer = super().call(name, request, token, metadata)
        if name == "BatchCirc" and self.losses:
            self.losses -= 1
            raise Refused(grpc.StatusCode.UNAVAILABLE.name, "connection lost")
        return answer


def test_a_lost_answer_makes_no_second_circ(node: Running) -> None:
    maker, own = people.maker(node.client), people.transporter(node.client)
    (goods_id,) = maker.goods(1)
    maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=3, to=own.username)
    by, pauses = signer.HeldKey(KEY), list[float]()
    wanted = Wanted((goods_id,), CircType.PROCESS, "", b"")
    with Losing(node.ready.grpc) as client:
        partner = Partner(client, own.client.token or "", pauses.append)
        shown = partner.account(ACCOUNT)
        from node.flow.signing import signed_account

        partner.set_account(ACCOUNT, signed_account(by, shown.place, shown.actor, shown.typed_data))
        prepared = partner.prepare(wanted)
        found = checked_circ(wanted, shown.place, shown.actor, prepared.typed_data, prepared.salt, prepared.version)
        client.losses = TRIES - 1
        answer = partner.record(wanted, prepared, signed_circ(by, shown.place, found))
        assert answer.keys() == {goods_id}
        assert len(pauses) == TRIES - 1
        assert in_index(goods_id).times == 3
        client.losses = TRIES
        prepared = partner.prepare(wanted)
        found = checked_circ(wanted, shown.place, shown.actor, prepared.typed_data, prepared.salt, prepared.version)
        with pytest.raises(Refused, match="connection lost"):
            partner.record(wanted, prepared, signed_circ(by, shown.place, found))
    assert in_index(goods_id).times == 4
