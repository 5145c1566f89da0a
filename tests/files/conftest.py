"""One daemon for the tests of this folder; each test has a store of files of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.files.embedded import EmbeddedFiles
from node.files.keeper import FileKeeper
from node.files.kubo import KuboFiles
from tests.files.daemon import daemon

Opener = Callable[[], FileKeeper]


@pytest.fixture(scope="session")
def daemon_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with daemon(tmp_path_factory.mktemp("ipfs") / "repo") as url:
        yield url


@pytest.fixture(params=["embedded", "daemon"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the store of files of this test, again and again as a node does at each start."""
    home = tmp_path / "files"
    if request.param == "embedded":
        return lambda: EmbeddedFiles(home)
    url = request.getfixturevalue("daemon_url")
    return lambda: KuboFiles(url, home)


@pytest.fixture
def keeper(opener: Opener) -> FileKeeper:
    return opener()
