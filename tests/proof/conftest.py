from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from node.domain.model import Rights
from node.flow.proof import ProofFile, make
from tests.audit.world import EXAM, FORM, PROCESS, PRODUCE, RELAY, TRANSFER, World, new_world

GOODS = 17


def live(world: World) -> None:
    """Goods 17 to 24 are produced; goods 17 have six circs then, one of them through a relay, and one that failed.

    The coop's account changes between its circs, and the exporter's after its last.
    """
    relay = world.send(None, RELAY).contract_address
    world.circulate(range(17, 25), PRODUCE, "coop", form=FORM.to_bytes())
    world.circulate([17, 18], PROCESS, "coop", form='{"备注": "晾晒\u0001", "moisture_percent": 11.2}'.encode())
    world.change_key("coop")
    world.set_rights("grader", Rights.CIRCULATE | Rights.EXAMINE)
    world.circulate([17], EXAM, "grader", form=b'{"cup_score": 84.5}')
    world.circulate([17, 18], TRANSFER, "coop", "exporter")
    world.copied(17, PROCESS, "exporter", through=relay, later=False)
    world.circulate([17], TRANSFER, "exporter", "roaster", b'{"container": "TGHU1234567"}')
    assert world.circulate([17], TRANSFER, "exporter", "coop").status == "failed"
    world.change_key("exporter")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """On the embedded chain. Tests must not add to it."""
    with new_world(tmp_path_factory.mktemp("proof")) as made:
        live(made)
        yield made


@dataclass(frozen=True)
class Given:
    """A proof, and the hashes that must be trusted: of blocks in a row only the last."""

    proof: ProofFile
    hashes: list[str]


@pytest.fixture(scope="session")
def given(world: World) -> Given:
    from node.flow.proof import verify

    proof = make(world.view, world.rpc, world.address, GOODS).proof
    return Given(proof, [block.hash for block in verify(proof).blocks if not block.follows])
