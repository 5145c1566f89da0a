"""One node for all tests that only need a node; each test makes users and goods of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import node as nodes
from tests.support.forking import Forkery
from tests.support.node import RunningNode, running
from tests.support.postgres import NoServer, Server, find_programs, postgres

# How long an example takes says more of the machine than of the code.
settings.register_profile("vtrace", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("vtrace")


@pytest.fixture(scope="session", autouse=True)
def forkery() -> Iterator[Forkery]:
    """What starts all nodes and commands of this process."""
    nodes.forkery = Forkery()
    yield nodes.forkery
    nodes.forkery.close()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    data_dir: Path = tmp_path_factory.mktemp("node") / "data"
    with running(data_dir) as started:
        yield started


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A PostgreSQL server for all tests that need a database on one."""
    try:
        find_programs()
    except NoServer as missing:
        pytest.skip(str(missing))
    with postgres() as started:
        yield started


@pytest.fixture
def database(server: Server) -> Iterator[str]:
    """The URL of an empty database."""
    name = server.database()
    yield server.url(name)
    server.drop(name)
