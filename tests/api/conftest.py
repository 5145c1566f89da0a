"""One node for the tests of this folder; each test makes users and goods of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import RunningNode, running


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    data_dir: Path = tmp_path_factory.mktemp("api") / "data"
    with running(data_dir) as started:
        yield started
