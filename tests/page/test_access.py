"""The page for everybody: axe-core's rules of WCAG 2.2 AA, without scripts, at narrow widths and on paper."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.page.browser import reading, verdict
from tests.page.data import with_data
from tests.page.liar import Liar
from tests.page.world import World

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def _violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    found: Any = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    return [f"{one['id']}: {node['html']}" for one in found["violations"] for node in one["nodes"]]


@pytest.mark.parametrize(("language", "scheme"), [("en", "light"), ("zh", "dark")])
def test_nothing_stands_in_a_readers_way(browser: Browser, told: World, liar: Liar, language: str, scheme: Any) -> None:
    with reading(browser, language=language, color_scheme=scheme) as page:
        for goods_id in (told.plain, told.recalled):
            assert verdict(page, told.address(goods_id))[0] == "checked"
            assert _violations(page) == []
        page.goto(told.address(999_999))
        assert _violations(page) == []
        liar.rewrite = lambda path, real: (
            with_data(real.text, lambda data: data["circs"].pop()) if path.startswith("/t/") else None
        )
        assert verdict(page, f"{liar.address}/t/{told.plain}")[0] == "differs"
        assert _violations(page) == []
        liar.rewrite = lambda path, real: (
            with_data(real.text, lambda data: data.update(endpoint="")) if path.startswith("/t/") else None
        )
        assert verdict(page, f"{liar.address}/t/{told.plain}")[0] == "unasked"
        assert _violations(page) == []


def test_without_scripts_the_whole_story_is_there(browser: Browser, told: World) -> None:
    with reading(browser, java_script_enabled=False) as page:
        page.goto(told.address(told.recalled))
        said = page.inner_text("body")
        assert page.locator(".entry").count() == 8
        assert "Scripts are off, so nothing here has been checked." in said
        assert "ochratoxin A above the limit" in page.inner_text(".notice.recall")
        assert page.locator(".files img").count() == 1


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_cut_off(browser: Browser, told: World, width: int) -> None:
    """WCAG's reflow: no scrolling sideways, whatever the width."""
    with reading(browser) as page:
        page.set_viewport_size({"width": width, "height": 800})
        assert verdict(page, told.address(told.recalled))[0] == "checked"
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_reaches_everything(browser: Browser, told: World) -> None:
    with reading(browser) as page:
        verdict(page, told.address(told.recalled))
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "history"


def test_paper_says_what_the_screen_says(browser: Browser, told: World) -> None:
    with reading(browser) as page:
        verdict(page, told.address(told.recalled))
        page.emulate_media(media="print")
        said = page.inner_text("body")
        assert "Recalled" in said
        assert "Checked by your device" in said
        assert not page.locator(".languages").is_visible()
