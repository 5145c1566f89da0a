"""Debian's Chromium, driven by Playwright; scripts/set-up.sh tries to install it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_CHROMIUM = "no chromium on this machine (Debian: apt install chromium)"
WAIT_MS = 20_000


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def reading(browser: Browser, *, language: str = "en", **settings: Any) -> Iterator[Page]:
    """A reader's device. Whatever the page complains of on the console fails the test."""
    context = browser.new_context(locale=language, viewport={"width": 390, "height": 844}, **settings)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Security Policy" in said.text else None)
    try:
        yield page
    finally:
        context.close()
    assert wrong == []


def verdict(page: Page, url: str) -> tuple[str, list[str]]:
    """What the page's script says in the end: the state, and each difference."""
    page.goto(url)
    return concluded(page)


def concluded(page: Page) -> tuple[str, list[str]]:
    page.wait_for_selector("#verdict .verdict:not(.running)")
    state = page.get_attribute("#verdict .verdict", "class") or ""
    return state.removeprefix("verdict "), [unescape(one) for one in page.locator("#verdict li").all_inner_texts()]


def marks(page: Page) -> list[str]:
    found = page.locator(".entry > .head > .mark").all()
    return [(one.get_attribute("class") or "").removeprefix("mark").strip() for one in found]
