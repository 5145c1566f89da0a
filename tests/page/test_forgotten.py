"""Private forms that were forgotten: shown as such, checked as far as can be, and no way to hide the first form."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from playwright.sync_api import Browser

from node.domain.form import NO_SALT, form_digest
from node.page.text import say
from tests.page.browser import marks, reading, verdict
from tests.page.world import PROCESS, World

LANGUAGES = ("en", "zh")


@contextmanager
def forgotten(told: World, goods_id: int, times: int) -> Iterator[None]:
    """The node's index as an erasure leaves it, for one circ of goods."""
    change = "UPDATE circ SET salt = ?, form = ?, erased_digest = ? WHERE id = ?"
    query = "SELECT id, salt, form FROM circ JOIN circ_goods ON circ_id = id WHERE goods_id = ? AND times = ?"
    with closing(sqlite3.connect(told.node.data_dir / "index.sqlite3")) as index:
        ((circ_id, salt, form),) = index.execute(query, (goods_id, times)).fetchall()
        with index:
            index.execute(change, (NO_SALT, b"", form_digest(salt, form), circ_id))
        try:
            yield
        finally:
            with index:
                index.execute(change, (salt, form, None, circ_id))


def test_a_forgotten_form_leaves_the_verdict_in_part(browser: Browser, told: World) -> None:
    goods_id = told.spare.pop()
    told.circ(told.coop, PROCESS, goods_id, {"worker": "诸葛孔明"})
    told.circ(told.coop, PROCESS, goods_id, {"step": "drying"})
    told.settle(goods_id)
    with forgotten(told, goods_id, 1), reading(browser) as page:
        for language in LANGUAGES:
            assert verdict(page, f"{told.address(goods_id)}?lang={language}") == ("partly", [])
            assert marks(page) == ["checked"] * 3
            assert page.locator(f"text={say(language, 'forgotten')}").count() == 1
            assert say(language, "p_forgotten", count=1) in page.inner_text("#verdict")
            assert page.locator("text=诸葛孔明").count() == 0
    with reading(browser) as page:
        assert verdict(page, told.address(goods_id)) == ("checked", [])


def test_the_first_form_can_not_be_forgotten(browser: Browser, told: World) -> None:
    """It is the node's own, and says what the goods are."""
    goods_id = told.spare[-1]
    told.settle(goods_id)
    with forgotten(told, goods_id, 0), reading(browser) as page:
        state, lines = verdict(page, told.address(goods_id))
    assert (state, lines) == ("differs", ["1. Produced: The details are not those that were recorded."])
