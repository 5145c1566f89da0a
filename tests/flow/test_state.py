"""What `vtrace status` tells."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from node.chain import signer
from node.cli import main
from tests.chain.servers import anvil, free_port
from tests.support import people
from tests.support.node import RunningNode, eventually

from .world import Net, net_at


def _status(data_dir: Path) -> dict[str, object]:
    result = CliRunner().invoke(main, ["status", "--data-dir", str(data_dir), "--json"])
    assert result.exit_code == 0, result.output
    told: dict[str, object] = json.loads(result.output)
    return told


def _lines(data_dir: Path) -> list[str]:
    return CliRunner().invoke(main, ["status", "--data-dir", str(data_dir)]).output.splitlines()


def test_a_node_that_goes_well_and_one_that_has_ended(net: Net, tmp_path: Path) -> None:
    args = ("--chain", net.url, "--signer-key", str(net.key_file), "--confirmations", "1", "--signers", "2")
    node = RunningNode(tmp_path / "d", *args)
    try:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        people.settled(node.client, goods_id)
        told = eventually(lambda: (found := _status(tmp_path / "d"))["unfinished"] == 0 and found)
        assert (told["running"], told["backlog"], told["oldest_pending_seconds"]) == (True, 0, None)
        assert (told["head"], told["confirmed"], told["forks"]) == (net.chain.head().number,) * 2 + (0,)
        assert (told["troubles"], told["last_error"]) == ([], None)
        payer = signer.address_of(net.key)
        first, second = eventually(
            lambda: (lanes := _status(tmp_path / "d")["lanes"])[0]["nonce_on_chain"] == 3 and lanes  # type: ignore[index]
        )
        assert (first["signer"], first["next_nonce"], first["is_open"]) == (payer, 3, True)
        assert 0 < int(first["balance"]) <= net.chain.balance(payer) + 10**17
        assert (second["next_nonce"], second["nonce_on_chain"], second["balance"]) == (None, 0, "0")
    finally:
        node.stop()
    lines = _lines(tmp_path / "d")
    assert lines[:2] == ["node: not running", "backlog: nothing waits"]
    assert lines[2].startswith(f"chain: height {net.chain.head().number}, final up to ")
    assert any(line.startswith(f"lane {payer}: next nonce 3, on chain 3, balance ") for line in lines)


def test_troubles_are_told_with_advice_and_end(tmp_path: Path) -> None:
    port, state = free_port(), ("--state", str(tmp_path / "state.json"))
    with anvil(*state, port=port) as url, net_at(url, tmp_path) as net:
        args = ("--chain", url, "--signer-key", str(net.key_file), "--confirmations", "1", "--max-fee", "3")
        node = RunningNode(tmp_path / "d", *args)
        try:
            maker = people.maker(node.client)
            (goods_id,) = maker.goods(1)
            people.settled(node.client, goods_id)
            net.ask("anvil_setNextBlockBaseFeePerGas", hex(500 * 10**9))
            net.mine()
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
            told = eventually(lambda: (found := _status(tmp_path / "d"))["last_error"] and found)
            assert told["backlog"] == 1
            assert "raise --max-fee" in told["last_error"]["message"]  # type: ignore[index]
            assert any("  trouble: nonce 3 of" in line for line in _lines(tmp_path / "d"))
            net.ask("anvil_setNextBlockBaseFeePerGas", hex(10**9))
            net.mine()
            people.settled(node.client, goods_id)
            eventually(lambda: "trouble" not in "".join(_lines(tmp_path / "d")))
            lines = _lines(tmp_path / "d")
            assert lines[-1].startswith("last error, ")
        finally:
            node.stop()


def test_a_directory_without_a_node(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["status", "--data-dir", str(tmp_path)])
    assert result.exit_code == 1
    assert "no node keeps its data there" in result.output
