"""An Anvil for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chain.servers import anvil

from .world import Net, net_at


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    with anvil() as url, net_at(url, tmp_path) as made:
        yield made
