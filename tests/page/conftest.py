"""One story and one browser for the tests of the page.

They end with this folder's tests: Playwright keeps an event loop running in the tests' thread, which others may need.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.page.liar import Liar, lying
from tests.page.world import World, world


@pytest.fixture(scope="package")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("page")) as made:
        yield made


@pytest.fixture(scope="package")
def browser() -> Iterator[object]:
    from tests.page import browser as driven

    if driven.CHROMIUM is None:
        pytest.skip(driven.NO_CHROMIUM)
    with driven.chromium() as started:
        yield started


@pytest.fixture(scope="package")
def _liar(told: World) -> Iterator[Liar]:
    with lying(told.node.ready["http"]) as made:
        yield made


@pytest.fixture
def liar(_liar: Liar) -> Liar:
    """Honest until a test tells it what to change."""
    _liar.rewrite = lambda _path, _answer: None
    _liar.asked.clear()
    return _liar
