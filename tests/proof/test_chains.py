"""Proofs from the embedded chain, from Anvil and from Hardhat, verified with nothing but the blocks' hashes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.chain import signer
from node.chain.rpc import Chain, HttpRpc
from node.domain.model import CircType, Rights
from node.flow.proof import Made, ask, believe, make, read, verify, write
from tests.audit.world import World
from tests.chain.servers import anvil, embedded, fund, hardhat
from tests.proof.conftest import GOODS, live

FEE_PER_GAS = 10**11


@contextmanager
def _world(name: str, folder: Path) -> Iterator[World]:
    key = signer.new_key()
    if name == "embedded":
        with embedded(folder / "chain.db", signer.address_of(key)) as rpc:
            yield World(rpc, key, FEE_PER_GAS)
        return
    with (anvil if name == "anvil" else hardhat)() as url:
        http = HttpRpc(url)
        try:
            fund(http, signer.address_of(key))
            yield World(http, key, FEE_PER_GAS)
        finally:
            http.close()


@pytest.fixture(scope="module", params=["embedded", "anvil", "hardhat"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Made]]:
    with _world(request.param, tmp_path_factory.mktemp(request.param)) as world:
        world.register("coop", Rights.CIRCULATE | Rights.PRODUCE)
        world.register("exporter", Rights.CIRCULATE)
        world.register("roaster", Rights.CIRCULATE)
        world.register("grader", Rights.CIRCULATE | Rights.EXAMINE)
        live(world)
        _, waiting = world.prepare([GOODS], CircType.PROCESS, "roaster", form=b'{"roast": "medium"}')
        world.forget()
        world.view.add(GOODS, waiting)
        yield world, make(world.view, world.rpc, world.address, GOODS)


def test_a_proof_needs_no_network(made: tuple[World, Made], monkeypatch: pytest.MonkeyPatch) -> None:
    world, (data, notes) = made[0], (write(made[1].proof), made[1].notes)

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("verifying a proof opened a socket")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    proven = verify(read(data))
    assert [circ.circ.circ_type for circ in proven.circs] == [0, 1, 4, 3, 1, 3]
    assert [circ.times for circ in proven.circs] == list(range(6))
    assert [circ.form for circ in proven.circs] == [circ.form for circ in world.view.circs(GOODS)[:6]]
    assert [circ.tx_hash for circ in proven.circs] == [circ.tx_hash for circ in world.view.circs(GOODS)[:6]]
    assert [circ.signer is not None for circ in proven.circs] == [True, True, True, True, False, True]
    assert (proven.holder_name, proven.complete) == ("roaster", True)
    assert (proven.chain_id, proven.contract) == (world.chain_id, world.address.lower())
    trust = believe(proven, [block.hash for block in proven.blocks])
    assert trust.is_whole
    assert notes == (
        f"left out: 1 circs that are not mined at block {proven.blocks[-1].number}",
        "left out: 1 failed circs, which never were",
    )


def test_an_rpc_says_that_the_blocks_are_the_chains(made: tuple[World, Made]) -> None:
    world, proven = made[0], verify(made[1].proof)
    before = believe(proven, [])
    assert before.open_blocks
    assert not before.is_whole
    assert ask(proven, before, Chain(world.rpc)).is_whole
