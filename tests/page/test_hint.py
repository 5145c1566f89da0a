"""The hint on the page of goods that are scanned unusually often: to be seen, read out, and not taken for a lie."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.page.browser import reading, verdict
from tests.page.data import with_data
from tests.page.liar import lying
from tests.page.test_access import _violations
from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.scanning import alerts, read

HINT = ".notice.hint"
SAID = {"en": "Scanned more often than others of its batch", "zh": "扫描人数高于同批其他货品"}


@pytest.fixture(scope="module")
def hinted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningNode, list[int]]]:
    """A node, and goods of which the first are scanned far more than the others."""
    data_dir = tmp_path_factory.mktemp("hint") / "d"
    with running(data_dir, "--trusted-proxies", "1") as node:
        maker = people.maker(node.client)
        goods = maker.goods(12)
        people.settled(node.client, goods[-1])
        for goods_id in goods[1:]:
            read(node.ready["http"], goods_id, ["198.51.100.1", "198.51.100.2"])
        read(node.ready["http"], goods[0], [f"203.0.113.{number}" for number in range(150)])
    with running(data_dir, "--trusted-proxies", "1") as node:
        eventually(lambda: alerts(node.client.with_token(maker.boss.client.token)))
        yield node, goods


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("zh", "dark")])
def test_the_hint_is_there_for_everybody(
    browser: Browser, hinted: tuple[RunningNode, list[int]], language: str, scheme: str
) -> None:
    node, goods = hinted
    with reading(browser, language=language, color_scheme=scheme) as page:
        assert verdict(page, f"http://{node.ready['http']}/t/{goods[0]}") == ("checked", [])
        assert page.locator(f"{HINT} h2").inner_text() == SAID[language]
        assert not re.search("fake|counterfeit|warning|假|伪|警告", page.locator(HINT).inner_text(), re.IGNORECASE)
        assert _violations(page) == []
        assert verdict(page, f"http://{node.ready['http']}/t/{goods[1]}") == ("checked", [])
        assert page.locator(HINT).count() == 0


LIES = {
    "hidden in the data": lambda text: with_data(text, lambda data: data.update(hinted=False)),
    "told otherwise": lambda text: text.replace("Often that is harmless", "These goods are stolen"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_hint_that_is_changed_on_its_way_is_noticed(
    browser: Browser, hinted: tuple[RunningNode, list[int]], lie: str
) -> None:
    node, goods = hinted
    with reading(browser) as page, lying(node.ready["http"]) as between:
        between.rewrite = lambda path, real: LIES[lie](real.text) if path.startswith("/t/") else None
        assert verdict(page, f"{between.address}/t/{goods[0]}")[0] == "differs"
