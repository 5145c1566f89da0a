"""A node on a chain that behaves as the ledger of docker-compose.yml does: gas is free, a block comes each second, and
a block is final. Anvil is configured so; there is no Besu here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from node.chain import signer
from node.cli import main
from tests.chain.servers import ROOT, anvil
from tests.support import people
from tests.support.node import eventually

from .world import Net, config, net_at, started

GENESIS = json.loads((ROOT / "scripts" / "compose" / "qbft.json").read_text())["genesis"]


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    """Nobody has funds on it."""
    said = {
        "--chain-id": GENESIS["config"]["chainId"],
        "--gas-limit": int(GENESIS["gasLimit"], 16),
        "--block-time": GENESIS["config"]["qbft"]["blockperiodseconds"],
        "--gas-price": 0,
        "--block-base-fee-per-gas": int(GENESIS["baseFeePerGas"], 16),
    }
    arguments = [str(word) for pair in said.items() for word in pair]
    with (
        anvil(*arguments, "--disable-min-priority-fee", "--hardfork", "cancun") as url,
        net_at(url, tmp_path, funded=False) as made,
    ):
        yield made


def test_a_node_works_on_it_without_funds(net: Net, tmp_path: Path) -> None:
    """From the contract's deployment to an audit, and again after a restart."""
    with started(config(tmp_path / "d", net.url, net.key_file)) as node:
        eventually(lambda: httpx.get(f"http://{node.ready.http}/readyz").is_success)  # as the compose files ask
        assert node.ready.chain_id == GENESIS["config"]["chainId"]
        maker, carrier = people.maker(node.client), people.transporter(node.client)
        goods = maker.goods(3)
        maker.boss.call("BatchCirc", goods_ids=goods, circ_type=1)
        maker.boss.call("CreateCirc", goods_id=goods[0], circ_type=3, to=carrier.username)
        carrier.call("CreateCirc", goods_id=goods[0], circ_type=1)
        assert [record.status.value for record in people.settled(node.client, goods[0])] == ["success"] * 4
    own = signer.address_of(net.key)
    assert int(net.ask("eth_getBalance", own, "latest"), 16) == 0
    assert int(net.ask("eth_gasPrice"), 16) == 0
    with started(config(tmp_path / "d", net.url)) as node:
        people.again(node.client, carrier).call("CreateCirc", goods_id=goods[0], circ_type=1)
        assert [record.status.value for record in people.settled(node.client, goods[0])] == ["success"] * 5
        named = ["--node", node.ready.grpc, "--rpc", net.url, "--contract", node.ready.contract, "--all"]
        audited = CliRunner().invoke(main, ["audit", *named]).output
        assert audited.endswith("3 goods, 9 circs, 0 pending, 0 differences\n"), audited
