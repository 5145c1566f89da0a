"""An index for each test, in each of the databases that it can live in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.store.backend import Where
from node.store.db import Store
from tests.support.postgres import Server


@pytest.fixture(scope="session")
def template(server: Server) -> str:
    """A database with an empty index, to make copies of."""
    name = server.database()
    Store(server.url(name)).close()
    return name


@pytest.fixture
def url(server: Server, template: str) -> Iterator[str]:
    """A database with an empty index."""
    name = server.database(template)
    yield server.url(name)
    server.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Where]:
    """A place with an empty index."""
    if request.param == "sqlite":
        yield tmp_path / "index.sqlite3"
        return
    yield request.getfixturevalue("url")


@pytest.fixture
def store(where: Where) -> Iterator[Store]:
    opened = Store(where)
    yield opened
    opened.close()
