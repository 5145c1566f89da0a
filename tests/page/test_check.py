"""The page's script with honest nodes: what it says of circs that wait, of labels, endpoints and strangers' text."""

from __future__ import annotations

import random
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from node.page.text import say
from tests.chain.servers import free_port
from tests.page.browser import marks, reading, verdict
from tests.page.data import data_of, with_data
from tests.page.liar import Liar
from tests.page.world import EXAM, PROCESS, TRANSFER, World
from tests.support import people
from tests.support.node import RunningNode, eventually

LANGUAGES = ("en", "zh")


@pytest.fixture
def waiting(told: World) -> int:
    """Goods with one final circ, and two that no block holds."""
    goods_id = told.spare.pop()
    told.settle(goods_id)
    told.automine(False)
    told.circ(told.coop, PROCESS, goods_id, {"step": "drying"})
    told.circ(told.coop, TRANSFER, goods_id, {"truck": "A"}, told.carrier)
    return goods_id


@pytest.fixture
def _mining(told: World) -> Any:
    yield
    told.automine(True)
    told.mine()


@pytest.mark.usefixtures("_mining")
def test_circs_that_wait(browser: Browser, told: World, waiting: int, liar: Liar) -> None:
    with reading(browser) as page:
        assert verdict(page, told.address(waiting)) == ("pending", [])
        assert marks(page) == ["checked", "pending", "pending"]
        assert "shown: 1. Not final yet, with only the node’s word for them: 2." in page.inner_text("#verdict")
        assert "A hand-over to “Ruili Express” is under way." in page.inner_text(".holder")
        liar.rewrite = lambda path, real: _as_done(real.text) if path.startswith("/t/") else None
        state, lines = verdict(page, f"{liar.address}/t/{waiting}")
        assert state == "differs"
        assert "3. Handed over: The chain has no such transaction." in lines
        told.automine(True)
        told.mine()
        told.settle(waiting)
        assert verdict(page, told.address(waiting)) == ("checked", [])
        assert marks(page) == ["checked"] * 3


def test_a_circ_that_is_mined_but_not_final(browser: Browser, told: World) -> None:
    """Its block is the newest: the node says pending, the chain has it already."""
    goods_id = told.spare.pop()
    told.settle(goods_id)
    told.circ(told.coop, TRANSFER, goods_id, {}, told.carrier)
    eventually(lambda: people.history(told.node.client, goods_id)[-1].tx_hash.value)
    with reading(browser) as page:
        assert verdict(page, told.address(goods_id)) == ("pending", [])
        assert page.locator(".entry .head .mark").all_inner_texts() == ["Checked", "On the chain, not final yet"]


def _as_done(html: str) -> str:
    """Every circ shown as one that happened."""

    def change(page: Any) -> None:
        for circ in page["circs"]:
            circ["status"] = "success"

    return with_data(html, change)


def test_a_page_that_was_left_open(browser: Browser, told: World, liar: Liar) -> None:
    """The history grew after the page was made: that is no lie."""
    goods_id = told.spare.pop()
    told.settle(goods_id)
    old = httpx.get(told.address(goods_id)).text
    told.circ(told.coop, PROCESS, goods_id, {"step": "drying"})
    told.settle(goods_id)
    answers = [old]
    liar.rewrite = lambda path, _: answers.pop() if path.startswith("/t/") and answers else None
    with reading(browser) as page:
        assert verdict(page, f"{liar.address}/t/{goods_id}") == ("pending", [])
        assert "The history has grown since this page was loaded." in page.inner_text("#verdict")
        page.click("#verdict button.again")
        page.wait_for_selector(".verdict.checked")


def test_the_contract_that_the_label_names(browser: Browser, told: World) -> None:
    contract, chain = told.node.ready["contract"], told.node.ready["chain_id"]
    address = told.address(told.plain)
    with reading(browser) as page:
        for label in (contract, contract.lower(), f"{chain}:{contract}"):
            page.goto("about:blank")
            assert verdict(page, f"{address}#c={label}") == ("checked", [])
            assert "as the label says" in (page.text_content("#verdict") or "")
        for label, told_so in (
            ("0x" + "12" * 20, "The label names the contract 0x12"),
            (f"1:{contract}", "The label names the chain 1, the page"),
            ("0x12", "The label’s address of the contract can’t be read: 0x12."),
        ):
            page.goto("about:blank")
            state, lines = verdict(page, f"{address}#c={label}")
            assert state == "differs"
            assert lines[0].startswith(told_so)
            assert "as the label says" not in (page.text_content("#verdict") or "")
        page.goto("about:blank")
        verdict(page, f"{told.address(told.recalled)}#c={contract}")
        page.click(".notice.recall a")
        page.wait_for_function("location.hash.includes('c=')")
        page.evaluate("location.hash = 'c=0x12'")
        page.wait_for_selector(".verdict.differs")
        page.goto("about:blank")
        assert verdict(page, address)[0] == "checked"
        assert "Compare it with what the maker published." in (page.text_content("#verdict") or "")


def test_the_reader_chooses_the_endpoint(browser: Browser, told: World, liar: Liar, node: RunningNode) -> None:
    """A node that offers none, then one that is not there, one of another chain, and one that answers."""

    def without_endpoint(path: str, real: httpx.Response) -> str | None:
        return with_data(real.text, lambda page: page.update(endpoint="")) if path.startswith("/t/") else None

    liar.rewrite = without_endpoint
    with reading(browser) as page:
        assert verdict(page, f"{liar.address}/t/{told.plain}#c={told.node.ready['contract']}") == ("unasked", [])
        assert "This page names no endpoint." in page.inner_text("#verdict")

        def choose(url: str, said: str) -> None:
            page.fill("#verdict input", url)
            page.click("#verdict button")
            page.wait_for_function("said => document.querySelector('#verdict').innerText.includes(said)", arg=said)

        choose("nowhere", "Want an http or https address.")
        choose("ftp://127.0.0.1/", "Want an http or https address.")
        choose(f"http://127.0.0.1:{free_port()}/", "gave no answer that can be used")
        choose(node.rpc_url, f"serves the chain {node.ready['chain_id']}, not {told.node.ready['chain_id']}.")
        assert set(marks(page)) == {"pending"}
        choose(told.url, "Checked by your device")
        assert told.url in page.inner_text("#verdict summary") or told.url.rpartition("/")[2] in page.inner_text(
            "#verdict summary"
        )
        assert "rpc=" in page.url
        assert told.node.ready["contract"] in page.url
        # The choice and the label hold in the other language too.
        page.click("text=中文")
        page.wait_for_selector(".verdict.checked")
        assert "已由您的设备核对" in page.inner_text("#verdict")


def test_the_embedded_chain_answers_the_page_itself(browser: Browser, node: RunningNode) -> None:
    goods_id = people.maker(node.client).goods(3)[1]
    people.settled(node.client, goods_id)
    with reading(browser) as page:
        assert verdict(page, f"http://{node.ready['http']}/t/{goods_id}") == ("checked", [])
        assert "which belongs to the server of this page" in (page.text_content("#verdict") or "")


def test_a_node_whose_chain_is_gone_still_shows_the_page(browser: Browser, told: World, liar: Liar) -> None:
    def dead(path: str, real: httpx.Response) -> str | None:
        change = {"endpoint": f"http://127.0.0.1:{free_port()}/"}
        return with_data(real.text, lambda page: page.update(change)) if path.startswith("/t/") else None

    liar.rewrite = dead
    with reading(browser) as page:
        assert verdict(page, f"{liar.address}/t/{told.plain}") == ("unasked", [])
        assert page.inner_text("h1").startswith("云南小粒咖啡")


NASTY: list[dict[str, Any]] = [
    {"x": "<script>alert(1)</script><img src=x onerror=alert(1)>", "</script>": "<!--", "&amp;": "&lt;"},
    {"{{ 7 * 7 }}": "{% raw %}", "{name}": "{who} {when}", "recall": "{who}"},
    {"\u202eevil": "a\u202eb\u2066c\u200fd\ufeff", "nul": "a\u0000b\u0007\u0085", "lines": " a \r\n b\tc\u2028d "},
    {"": "", " ": " ", "_": None, "__proto__": 1, "constructor": "c", "toString": 2, "_kg": 3, "x_kg": 4, "y_kg": "5"},
    {"gross_kg": 12, "price_per_kg": 9, "lead_ug_kg": 3, "defects_per_350_g": 4, "vitamin_c": 30, "share_percent": 5},
    {"empty": {}, "none": [], "list": [1, [2, [3, {"a_percent": 4}]], {"b": []}], "true": True, "no": False},
    {"result": " PASS\t", "emoji": "👩‍🌾🫘", "surrogate": "\U0001f300", "İ": "ß", "ﬁ": "ﬁ", "ünit_m": 1},
    {"result": "不合格", "10": 1, "9": 2, "a": "a" * 2_000, "ipfs": "ipfs://bafkrei" + "a" * 52 + " and more"},
    {"photo": "https://example.org/ipfs/bafkrei" + "b" * 52, "other": "ipfs://bafkrei" + "c" * 52},
]


def test_strangers_text_is_only_text(browser: Browser, told: World) -> None:
    """And the script agrees with the node about every text of it, in both languages."""
    goods_id = told.spare.pop()
    for form in NASTY:
        told.circ(told.coop, EXAM if "result" in form else PROCESS, goods_id, form)
    raw = '{"big": 12345678901234567890123, "small": -0.0, "exp": 1E+400, "u": "\\ud800 \\u0041", "dot": 10.0}'
    told.coop.call("CreateCirc", goods_id=goods_id, circ_type=PROCESS, form_value=raw.encode())
    told.coop.call("CreateCirc", goods_id=goods_id, circ_type=PROCESS)
    for seed in range(30):
        told.circ(told.coop, PROCESS, goods_id, _random_form(random.Random(seed)))
    told.settle(goods_id)
    for language in LANGUAGES:
        with reading(browser, language=language) as page:
            dialogs: list[str] = []
            page.on("dialog", lambda dialog: dialogs.append(dialog.message))  # noqa: B023
            assert verdict(page, told.address(goods_id)) == ("partly", [])  # two files are nowhere
            assert set(marks(page)) == {"checked"}
            assert page.locator(".history script, .history img").count() == 0
            assert dialogs == []


def _random_form(chance: random.Random, depth: int = 0) -> Any:
    def word() -> str:
        alphabet = "aAzZ_ .:/<>&\"'\\{}\u00e9\u4e2d\u6587\u0130\u00df\u2028\u202e\x01\n\t\U0001f33f"
        return "".join(chance.choice(alphabet) for _ in range(chance.randrange(12)))

    def value() -> Any:
        kinds: list[Any] = [word(), chance.randrange(-9, 9999), chance.random(), True, False, None, word()]
        if depth < 4:
            kinds += [_random_form(chance, depth + 1), [value_of(chance) for _ in range(chance.randrange(4))]]
        return chance.choice(kinds)

    def value_of(_: random.Random) -> Any:
        return word() if chance.random() < 0.5 else _random_form(chance, depth + 1)

    names = [word() + chance.choice(["", "_kg", "_percent", "_m"]) for _ in range(chance.randrange(6))]
    return {name: value() for name in names if name not in ("recall", "result")}


def test_a_long_history(browser: Browser, told: World) -> None:
    """A long history is checked whole."""
    goods_id = told.spare.pop()
    told.settle(goods_id)
    for number in range(150):
        told.circ(told.coop, PROCESS, goods_id, {"step": "turning", "number": number})
    told.settle(goods_id)
    eventually(lambda: all(one["by_block"] for one in data_of(httpx.get(told.address(goods_id)).text)["circs"]))
    with reading(browser) as page:
        assert verdict(page, told.address(goods_id)) == ("checked", [])
        assert marks(page) == ["checked"] * 151


def test_a_history_that_is_too_long_is_checked_in_part(browser: Browser, told: World) -> None:
    goods_id = told.spare.pop()
    told.circ(told.coop, PROCESS, goods_id, {"recall": "glass", "more": "x" * 50_000})
    for number in range(12):
        told.circ(told.coop, PROCESS, goods_id, {"number": number, "more": "x" * 50_000})
    told.settle(goods_id)
    with reading(browser) as page:
        assert verdict(page, told.address(goods_id)) == ("partly", [])
        assert "entries that are not shown: 3" in page.inner_text("#verdict")
        assert "Of this long history some entries (3) are left out here." in page.inner_text("#history")
        assert page.locator(".entry h3").first.inner_text() == "Produced"
        assert page.locator(".notice.recall").count() == 1
        assert set(marks(page)) == {"checked"}


def test_what_is_said_to_be_left_out_is_never_called_checked(browser: Browser, told: World, liar: Liar) -> None:
    """A node may leave out what it doesn't like, if it says so: then the verdict says so too."""
    note = f'<p class="omitted">{say("en", "omitted", count=1)}</p>'

    def rewrite(path: str, real: httpx.Response) -> str | None:
        if not path.startswith("/t/"):
            return None
        head, last = real.text.rsplit('<li id="entry-', 1)
        text = head.replace("<ol>", note + "<ol>", 1) + "</ol>" + last.partition("</ol>")[2]

        def change(page: Any) -> None:
            page["circs"].pop()
            page["left_out"] = 1

        return with_data(text, change)

    liar.rewrite = rewrite
    with reading(browser) as page:
        assert verdict(page, f"{liar.address}/t/{told.plain}") == ("partly", [])
        assert "entries that are not shown: 1" in page.inner_text("#verdict")
