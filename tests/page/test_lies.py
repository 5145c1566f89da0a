"""Lies of a node, each caught by the script of the page on the reader's device. One row a lie."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.page.browser import marks, reading, verdict
from tests.page.data import with_data
from tests.page.liar import Liar
from tests.page.world import World

Rewrite = Callable[[str, World], str]


def both(old: str, new: str) -> Rewrite:
    """A text changed everywhere: in what is shown and in the data beneath it."""

    def rewrite(html: str, _: World) -> str:
        return html.replace(old, new).replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1])

    return rewrite


def shown(old: str, new: str) -> Rewrite:
    """A text changed in what is shown alone."""

    def rewrite(html: str, _: World) -> str:
        head, data = html.split('<script type="application/json"')
        return head.replace(old, new, 1) + '<script type="application/json"' + data

    return rewrite


def data(change: Callable[[Any], None]) -> Rewrite:
    """Other data under the same texts."""
    return lambda html, _: with_data(html, change)


def entry(index: int, edit: Callable[[str], str]) -> Rewrite:
    """One entry of the history edited, in what is shown."""

    def rewrite(html: str, _: World) -> str:
        parts = re.split(r'(?=<li id="entry-)', html)
        last, end, rest = parts[-1].partition("</ol>")
        parts[-1] = last
        parts[index + 1] = edit(parts[index + 1])
        return "".join(parts) + end + rest

    return rewrite


def each(*rewrites: Rewrite) -> Rewrite:
    def rewrite(html: str, told: World) -> str:
        for one in rewrites:
            html = one(html, told)
        return html

    return rewrite


def without(index: int) -> Callable[[Any], None]:
    return lambda page: page["circs"].pop(index)


def _path(address: str) -> str:
    return "/ipfs/" + address.rpartition("/")[2]


def other_receiver(html: str, told: World) -> str:
    """Who holds the goods now is somebody else, everywhere."""
    return html.replace(told.roaster.username, told.carrier.username)


def renumbered(page: Any) -> None:
    for times, circ in enumerate(page["circs"]):
        circ["times"] = times


def swapped(page: Any) -> None:
    page["circs"][3], page["circs"][4] = page["circs"][4], page["circs"][3]


def change(index: int, **values: Any) -> Callable[[Any], None]:
    return lambda page: page["circs"][index].update(values)


LIES: dict[str, tuple[Rewrite, str]] = {
    "altered form": (both("85.75", "95.75"), "The details are not those that were recorded."),
    "altered form, shown alone": (shown("85.75", "95.75"), "“95.75” instead of “85.75”"),
    "altered form, in the data alone": (
        data(lambda page: page["circs"][2].update(form=page["circs"][2]["form"].replace("85.75", "95.75"))),
        "“85.75” instead of “95.75”",
    ),
    "another product": (both("Yunnan Catimor, washed", "Blue Mountain"), "The details are not those"),
    "another product, shown alone": (shown("washed</bdi>", "natural</bdi>"), "natural” instead of"),
    "another maker": (both("高黎贡山咖啡合作社", "Famous Estate"), "The details are not those"),
    "another production date": (both("2025-10-09", "2026-10-09"), "The details are not those"),
    "salt": (data(change(2, salt="00" * 16)), "The details are not those"),
    "failed exam as passed": (both('"fail"', '"pass"'), "The details are not those"),
    "failed exam as passed, shown alone": (shown("Failed</strong>", "Passed</strong>"), "“Passed” instead of “Failed”"),
    "recall hidden": (
        lambda html, _: re.sub(r'<section class="notice recall">.*?</section>', "", html, flags=re.DOTALL),
        "instead of “Recalled”",
    ),
    "recall made invisible": (
        lambda html, _: html.replace('class="notice recall"', 'class="notice recall" hidden'),
        "Text of the page is made invisible: “Recalled”",
    ),
    "last circ left out": (
        each(entry(7, lambda _: ""), data(without(7))),
        "The contract counts 8 entries, the page has 7.",
    ),
    "middle circ left out": (
        each(entry(6, lambda _: ""), data(without(6))),
        "The contract counts 8 entries, the page has 7.",
    ),
    "middle circ left out, renumbered": (
        each(entry(6, lambda _: ""), data(without(6)), data(renumbered)),
        "The contract counts 8 entries, the page has 7.",
    ),
    "all circs left out": (
        data(lambda page: page["circs"].clear()),
        "The contract counts 8 entries, the page has 0.",
    ),
    "circ shown twice": (data(lambda page: page["circs"].append(page["circs"][-1])), "It is shown twice."),
    "two circs swapped": (data(swapped), "The order on the chain is another."),
    "another number": (data(change(4, times=9)), "It has another number on the chain."),
    "another kind": (data(change(5, kind=4)), "The chain has another kind of event."),
    "another time": (data(change(5, time=1_700_000_000)), "The chain has another time."),
    "another holder": (other_receiver, "The receiver is another."),
    "another holder, shown alone": (
        lambda html, told: html.replace(f'code">{told.roaster.username}', f'code">{told.carrier.username}', 1),
        "instead of “u",
    ),
    "another operator": (
        lambda html, told: html.replace(told.examiner.username, told.carrier.username),
        "Somebody else recorded it.",
    ),
    "a name that nobody has": (
        lambda html, told: html.replace(told.examiner.username, "u0000000000000000"),
        "Somebody else recorded it.",
    ),
    "a name swapped behind an actor": (
        data(
            lambda page: page["parties"].update(
                {
                    name: [nick, page["parties"][page["circs"][0]["operator"]][1]]
                    for name, (nick, _) in page["parties"].items()
                }
            )
        ),
        "Somebody else recorded it.",
    ),
    "invented circ": (
        data(change(7, trans_id="0x" + "ab" * 32, tx_hash=None)),
        "The chain has no such transaction.",
    ),
    "transaction of another circ": (
        lambda html, _: with_data(html, lambda page: page["circs"][6].update(tx_hash=page["circs"][5]["trans_id"])),
        "It is shown twice.",
    ),
    "transaction of something else": (
        lambda html, _: with_data(
            html,
            lambda page: page["circs"][6].update(tx_hash=page["parties"][page["circs"][0]["operator"]][1]),
        ),
        "Its transaction records nothing of these goods in the contract.",
    ),
    "a status that is none": (data(change(5, status="good")), "It is shown with the status good."),
    "another contract": (
        lambda html, told: html.replace(told.node.ready["contract"], "0x" + "77" * 20),
        "What stands at the contract’s address is not VTrace’s contract.",
    ),
    "another file": (
        data(lambda page: page["files"].clear()),
        "is not kept here",
    ),
    "text added": (shown("</h1>", "</h1><p>Organic</p>"), "“Organic” instead of “Goods 2”"),
    "a picture added": (shown("</h1>", '</h1><img src="/static/x.png" alt="">'), "“img /static/x.png"),
    "a verdict that the page brings along": (
        shown('<div id="verdict">', '<div>Checked</div><div id="verdict">'),
        "“Checked” instead of",
    ),
    "a link to another file": (
        lambda html, told: html.replace(f'href="{_path(told.report)}"', f'href="{_path(told.picture)}"'),
        "instead of “file /ipfs/baf",
    ),
    "a link to another place": (
        lambda html, told: html.replace(f'href="{_path(told.report)}"', f'href="//a.example{_path(told.report)}"'),
        "“file //a.example/ipfs/",
    ),
    "data that is none": (
        lambda html, _: html.replace('{"language"', '{"x'),
        "The data of the page can’t be read.",
    ),
}


@pytest.fixture(scope="module")
def reader(browser: Browser) -> Iterator[Page]:
    """One device for all lies: each has a page of its own."""
    with reading(browser) as page:
        yield page


@pytest.mark.parametrize("name", LIES)
def test_a_lie_is_caught(reader: Page, told: World, liar: Liar, name: str) -> None:
    rewrite, expected = LIES[name]

    def answer(path: str, real: httpx.Response) -> str | None:
        if not path.startswith("/t/"):
            return None
        changed = rewrite(real.text, told)
        assert changed != real.text, "the lie changed nothing"
        return changed

    liar.rewrite = answer
    state, lines = verdict(reader, f"{liar.address}/t/{told.recalled}")
    assert state == "differs", lines
    assert any(expected in line for line in lines), lines


def test_what_is_no_lie_is_not_called_one(browser: Browser, told: World, liar: Liar) -> None:
    with reading(browser) as page:
        assert verdict(page, f"{liar.address}/t/{told.recalled}") == ("checked", [])
        assert marks(page) == ["checked"] * 8


def test_other_goods_under_this_address(browser: Browser, told: World, liar: Liar) -> None:
    """A recalled bag that shows the history of a good one."""
    liar.rewrite = lambda path, _: liar.http.get(f"/t/{told.plain}") if path.startswith("/t/") else None
    with reading(browser) as page:
        state, lines = verdict(page, f"{liar.address}/t/{told.recalled}")
    assert state == "differs"
    assert lines == [f"The address names goods {told.recalled}, the page shows goods {told.plain}."]


def test_what_only_the_script_may_say_is_taken_out(browser: Browser, told: World, liar: Liar) -> None:
    """Verdicts that the page brings along, and text in shadow trees, where the script could not read it."""
    hidden = '<div><template shadowrootmode="open"><b>Organic</b></template></div>'
    brought = f'{hidden}<div id="verdict"><b>Checked by Heaven</b></div><p class="mark"><b>Checked by Earth</b></p>'
    liar.rewrite = lambda path, real: (
        real.text.replace("<footer>", brought + "<footer>") if path.startswith("/t/") else None
    )
    with reading(browser) as page:
        assert verdict(page, f"{liar.address}/t/{told.plain}") == ("checked", [])
        for said in ("Organic", "Checked by Heaven", "Checked by Earth"):
            assert page.locator(f"text={said}").count() == 0


def test_text_drawn_by_a_style_sheet(browser: Browser, told: World, liar: Liar) -> None:
    drawn = '.goods::after { content: "Organic" }'
    liar.rewrite = lambda path, real: real.text + drawn if path.endswith("page.css") else None
    with reading(browser) as page:
        state, lines = verdict(page, f"{liar.address}/t/{told.plain}")
    assert state == "differs"
    assert '“"Organic"” instead of' in lines[0]


@pytest.mark.parametrize(
    "hiding",
    ["display: none", "visibility: hidden", "opacity: 0", "font-size: 0", "position: absolute; left: -9999px"],
)
def test_an_entry_that_a_style_sheet_hides(browser: Browser, told: World, liar: Liar, hiding: str) -> None:
    style = f".entry.fail {{ {hiding} }} .entry.fail * {{ {hiding if 'font' in hiding else ''} }}"
    liar.rewrite = lambda path, real: real.text + style if path.endswith("page.css") else None
    with reading(browser) as page:
        state, lines = verdict(page, f"{liar.address}/t/{told.recalled}")
    assert (state, lines) == ("differs", ["Text of the page is made invisible: “Examined”."])


def test_another_picture_under_a_cid(browser: Browser, told: World, liar: Liar) -> None:
    liar.rewrite = lambda path, _: b"other" if path.startswith("/ipfs/") else None
    with reading(browser) as page:
        state, lines = verdict(page, f"{liar.address}/t/{told.plain}")
    assert state == "differs"
    wrong = [f"{name} is not the file that was recorded." for name in ("raised beds.png", "cupping report.pdf")]
    assert lines == wrong


def test_a_withheld_file(browser: Browser, told: World, liar: Liar) -> None:
    liar.rewrite = lambda path, _: httpx.Response(404) if path.startswith("/ipfs/") else None
    with reading(browser) as page:
        assert verdict(page, f"{liar.address}/t/{told.plain}") == ("partly", [])
        assert "files that could not be had or are too large: 2" in page.inner_text("#verdict")
