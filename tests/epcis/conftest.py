"""An index of random histories for the tests of queries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.epcis.histories import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "index.sqlite3", Random(3))
    made.play(150)
    try:
        yield made
    finally:
        made.store.close()
