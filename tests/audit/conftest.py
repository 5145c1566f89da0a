from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.chain import contract
from node.domain.model import Rights
from tests.audit.world import EXAM, FORM, PROCESS, PRODUCE, TRANSFER, WALLET, View, World, new_world


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Goods 1 to 6 and 9, whose histories have all that honest ones may have. Tests must not add to it.

    Goods 1: produce, process, exam, transfer, process, transfer, a failed transfer, process: 7 circs.
    Goods 2: the first four. Goods 3: those, and one that waits. Goods 4 to 6: produce, process.
    Goods 9: of a wallet that signs as EIP-1271 has it.
    """
    with new_world(tmp_path_factory.mktemp("audit")) as made:
        made.circulate([1, 2, 3, 4, 5, 6], PRODUCE, "coop", form=FORM.to_bytes())
        made.circulate([1, 2, 3, 4, 5, 6], PROCESS, "coop", form=b'{"moisture_percent": 11.2}')
        made.circulate([1, 2, 3], EXAM, "grader", form=b'{"cup_score": 84.5}')
        made.set_rights("grader", Rights.CIRCULATE)
        made.change_key("coop")
        made.circulate([1, 2, 3], TRANSFER, "coop", "exporter")
        made.circulate([1], PROCESS, "exporter", form='{"备注": "装箱"}'.encode())
        made.circulate([1], TRANSFER, "exporter", "roaster", b'{"container": "TGHU1234567"}')
        assert made.circulate([1], TRANSFER, "exporter", "coop", b'{"again": true}').status == "failed"
        made.circulate([1], PROCESS, "roaster", form=b'{"roast": "medium"}')
        wallet = made.send(None, WALLET).contract_address
        made.register("wallet", Rights.CIRCULATE | Rights.PRODUCE, wallet)
        made.circulate([9], PRODUCE, "wallet", form=FORM.to_bytes())
        _, waiting = made.prepare([3], PROCESS, "exporter", form=b'{"weight_kg": 60}')
        made.forget()
        made.view.add(3, waiting)
        made.lookalike = made.on_lookalike(9, "coop")
        assert contract.code_matches(made.chain.code(made.address), made.chain_id, made.address)
        yield made


@pytest.fixture
def view(world: World) -> View:
    """A node to make a liar of."""
    return world.view.copy()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """A world that the test may add to, with goods 1 and 2."""
    with new_world(tmp_path) as made:
        made.circulate([1, 2], PRODUCE, "coop", form=FORM.to_bytes())
        yield made
