"""Starting on a data directory: whose it is, who pays, and what a refused start leaves behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from node.app import Node
from node.chain import signer
from node.chain.transport import HttpRpc
from node.config import Config
from node.errors import SetupError
from tests.chain.echo import Sender, mined
from tests.chain.servers import anvil, fund
from tests.support import people
from tests.support.node import STOP_SECONDS_MAX, RunningNode, vtrace

from .world import Net, config, net_at, started


def _refused(given: Config, why: str) -> None:
    """Twice, since a refusal leaves nothing open and changes nothing."""
    for _ in range(2):
        with pytest.raises(SetupError, match=why):
            Node(given, on_fatal=lambda: None)


def _key_file(path: Path, key: bytes) -> Path:
    path.touch(0o600)
    path.write_text(f"0x{key.hex()}\n")
    return path


def test_a_node_goes_on_where_it_was(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)) as first:
        (goods_id,) = people.maker(first.client).goods(1)
        ready = first.ready
    with started(config(tmp_path / "d", net.url)) as again:
        assert (again.ready.chain_id, again.ready.contract) == (ready.chain_id, ready.contract)
        assert len(people.settled(again.client, goods_id)) == 1


def test_another_chain_is_refused(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)):
        pass
    with anvil("--timestamp", "1700000000") as url, net_at(url, tmp_path) as other:
        other.key_file.write_text(net.key.hex())
        _refused(config(tmp_path / "d", url), r"belongs to genesis 0x.*, but the chain has 0x.*--data-dir")
    with anvil("--chain-id", "1337") as url:
        _refused(config(tmp_path / "d", url), "belongs to chain_id 31337, but the chain has 1337")
    with started(config(tmp_path / "d", net.url, net.key_file)):
        pass


def test_another_signer_is_refused(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)):
        pass
    other = signer.new_key()
    why = f"signer is {signer.address_of(net.key)}, but the key given is of {signer.address_of(other)}: .*--signer-key"
    _refused(config(tmp_path / "d", net.url, _key_file(tmp_path / "other.key", other)), why)


def test_other_code_at_the_contracts_address_is_refused(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        (goods_id,) = people.maker(node.client).goods(1)
        people.settled(node.client, goods_id)
        address = node.ready.contract
    net.ask("anvil_setCode", address, "0x6001")
    _refused(config(tmp_path / "d", net.url), f"the code at {address} is not this version's contract")


def _serve(data_dir: Path, url: str, *args: str) -> subprocess.CompletedProcess[str]:
    addresses = ("--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    return vtrace("serve", "--data-dir", str(data_dir), "--chain", url, *addresses, *args)


def test_a_signer_that_can_not_pay_is_told_what_to_do(net: Net, tmp_path: Path) -> None:
    refused = _serve(tmp_path / "d", net.url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "Traceback" not in refused.stderr
    (line,) = [line for line in refused.stderr.splitlines() if line.startswith("Error: ")]
    assert "can't pay for the contract on chain 31337: send it at least" in line
    assert "--signer-key" in line

    # Both pieces of advice hold: name a funded account, or fund the one that was made.
    with started(config(tmp_path / "d", net.url, net.key_file)):
        pass
    with pytest.raises(SetupError, match="can't pay for the contract") as told:
        Node(config(tmp_path / "e", net.url), on_fatal=lambda: None)
    (account,) = [word for word in str(told.value).split() if word.startswith("0x")]
    fund(net.rpc, account)
    with started(config(tmp_path / "e", net.url)):
        pass


def test_a_signer_that_signs_elsewhere_too_stops_the_node(net: Net, tmp_path: Path) -> None:
    args = ("--chain", net.url, "--signer-key", str(net.key_file), "--confirmations", "1")
    node = RunningNode(tmp_path / "d", *args)
    try:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        elsewhere = Sender(net.key)
        elsewhere.nonce = net.chain.transaction_count(elsewhere.address)
        taken = elsewhere.nonce
        used = elsewhere.sign(net.chain.chain_id(), elsewhere.address)
        assert net.chain.send([used.raw]) == [None]
        mined(net.chain, [used.hash])
        trans_id = maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1).trans_id.value
        assert node.process.wait(STOP_SECONDS_MAX) == 1
    finally:
        node.stop()
    line = node.log().splitlines()[-1]
    assert line == (
        f"Error: the node stopped: nonce {taken} of signer {elsewhere.address} was used by another transaction "
        f"than {trans_id}: this key must sign for this node alone"
    )


def test_a_chain_that_is_no_chain_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint that has no block 0 for us."""
    with anvil() as url:
        ask = HttpRpc.batch

        def without_genesis(self: HttpRpc, calls: list[tuple[str, list[object]]]) -> list[object]:
            return [
                None if call == ("eth_getBlockByNumber", ["0x0", False]) else answer
                for call, answer in zip(calls, ask(self, calls), strict=True)
            ]

        monkeypatch.setattr(HttpRpc, "batch", without_genesis)
        _refused(config(tmp_path / "d", url), "chain 31337 has no block 0")
