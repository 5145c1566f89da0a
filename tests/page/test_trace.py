"""The page of goods over HTTP, without a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from node.chain.answers import Block
from node.chain.transport import ChainUnavailable
from node.domain.trace import Placed
from node.page import assets, times
from node.page.times import BlockTimes
from tests.page.data import data_of
from tests.page.world import World
from tests.support import people
from tests.support.node import RunningNode


@pytest.fixture
def http(node: RunningNode) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://{node.ready['http']}", timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def goods_id(node: RunningNode) -> int:
    made = people.maker(node.client)
    (goods_id,) = made.goods(1)
    people.settled(node.client, goods_id)
    return goods_id


def test_it_says_what_the_goods_are(http: httpx.Client, goods_id: int, node: RunningNode) -> None:
    answer = http.get(f"/t/{goods_id}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "Yunnan Arabica, washed" in answer.text
    assert "Red Cherry" in answer.text
    data = data_of(answer.text)
    assert (data["goods"], data["contract"], data["endpoint"]) == (goods_id, node.ready["contract"], "/rpc")
    assert data["circs"][0]["by_block"]
    assert data["circs"][0]["time"] == pytest.approx(time.time(), abs=3_600)
    assert http.head(f"/t/{goods_id}").status_code == 200


def test_nothing_of_it_comes_from_elsewhere(http: httpx.Client, goods_id: int) -> None:
    answer = http.get(f"/t/{goods_id}")
    policy = answer.headers["content-security-policy"]
    for rule in (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
    ):
        assert rule in policy
    assert "unsafe" not in policy
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    visible = answer.text.partition('<script type="application/json"')[0]
    assert "http://" not in visible
    assert "https://" not in visible
    assert "style=" not in visible
    assert " on" + "click" not in visible


@pytest.mark.parametrize(
    ("query", "accept", "language"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "en;q=0.3, zh;q=0.8", "zh"),
        ("", "de, en;q=0.1", "en"),
        ("", "zh;q=0", "en"),
        ("", "zh;q=x,;;,\x7f" + "z" * 5_000, "en"),
        ("?lang=zh", "en", "zh"),
        ("?lang=xx", "zh", "zh"),
    ],
)
def test_the_language(http: httpx.Client, goods_id: int, query: str, accept: str, language: str) -> None:
    answer = http.get(f"/t/{goods_id}{query}", headers={"Accept-Language": accept.encode()})
    assert answer.headers["content-language"] == language
    assert ("履历" in answer.text) == (language == "zh")
    assert data_of(answer.text)["language"] == language


@pytest.mark.parametrize("number", ["999999", "2147483648", "9" * 10, "0"])
def test_goods_that_are_not_there(http: httpx.Client, number: str) -> None:
    answer = http.get(f"/t/{number}")
    assert answer.status_code == 404
    assert "There are no goods with this number here." in answer.text
    assert "没有这件货品" in http.get(f"/t/{number}?lang=zh").text


@pytest.mark.parametrize("number", ["x", "-1", "1.0", "9" * 5_000, "%00", "١", "<script>", "1%0a"])
def test_what_is_no_number_of_goods(http: httpx.Client, number: str) -> None:
    answer = http.get(f"/t/{number}")
    assert answer.status_code == 404
    assert "This is not a number of goods." in answer.text
    assert "<script>" not in answer.text


def test_style_and_script_have_addresses_for_ever(http: httpx.Client, goods_id: int) -> None:
    text = http.get(f"/t/{goods_id}").text
    address = text.partition('src="')[2].partition('"')[0]
    answer = http.get(address)
    assert (answer.status_code, answer.headers["cache-control"]) == (200, assets.FOR_EVER)
    assert answer.headers["content-encoding"] == "gzip"
    plain = http.get(address, headers={"Accept-Encoding": "identity"})
    assert plain.content == answer.content
    assert "content-encoding" not in plain.headers
    for other in ("/static/0/check.js", "/static/0/..%2fsite.py", "/static/", address + "x"):
        assert http.get(other).status_code == 404


@pytest.mark.parametrize(
    ("accept", "packed"),
    [
        ("gzip, deflate, br", True),
        ("deflate, GZIP;q=0.5", True),
        ("identity", False),
        ("", False),
        ("gzip;q=0, br", False),
        ("gzip ; q=0.000", False),
        ("br, gzip;q=0.01", True),
    ],
)
def test_a_page_is_packed_for_whoever_takes_it(http: httpx.Client, goods_id: int, accept: str, packed: bool) -> None:
    answer = http.get(f"/t/{goods_id}", headers={"Accept-Encoding": accept})
    assert answer.headers.get("content-encoding") == ("gzip" if packed else None)
    assert answer.headers["vary"] == "Accept-Encoding, Accept-Language"
    plain = http.get(f"/t/{goods_id}", headers={"Accept-Encoding": "identity"})
    assert answer.content == plain.content


def test_the_weight_of_a_page(told: World) -> None:
    """Without pictures, with what it needs to show and to check itself."""
    text = httpx.get(told.address(told.recalled)).text
    site = f"http://{told.node.ready['http']}"
    style, script = (
        site + text.partition(before)[2].partition('"')[0] for before in ('rel="stylesheet" href="', 'script src="')
    )
    packed = 0
    for address in (style, script):
        with httpx.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as answer:
            packed += sum(len(part) for part in answer.iter_raw())
    assert len(text.encode()) + packed < 60_000


def test_any_site_may_ask_the_embedded_chain(http: httpx.Client) -> None:
    asked = http.options("/rpc", headers={"Origin": "https://a.example", "Access-Control-Request-Method": "POST"})
    assert (asked.status_code, asked.headers["access-control-allow-origin"]) == (204, "*")
    assert asked.headers["access-control-allow-headers"] == "content-type"
    for body in ('{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}', "{"):
        assert http.post("/rpc", content=body).headers["access-control-allow-origin"] == "*"


# --- the times of blocks


class _Chain:
    """Answers blocks by number; counts the questions."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.is_down = False

    def blocks(self, numbers: list[int]) -> list[Block | None]:
        self.asked.append(list(numbers))
        if self.is_down:
            raise ChainUnavailable("down")
        return [Block(number, f"0x{number:064x}", "0x", 1_000 + number, None, 0) for number in numbers]


def _placed(*numbers: int) -> dict[int, Placed]:
    return {number: Placed(0, number, f"0x{number:064x}") for number in numbers}


def test_a_block_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "BLOCKS_PER_QUESTION", 2)
    monkeypatch.setattr(times, "BLOCKS_KEPT_MAX", 3)
    chain: Any = _Chain()
    known = BlockTimes(chain)
    placed = _placed(1, 2, 3)
    known.ask(known.missing(placed))
    assert known.known(placed) == {1: 1_001, 2: 1_002, 3: 1_003}
    assert (chain.asked, known.missing(placed)) == ([[1, 2], [3]], {})
    known.ask(known.missing(_placed(4)))
    assert known.known(_placed(1, 4)) == {4: 1_004}


def test_a_block_that_was_forked_off_stays_unknown() -> None:
    chain: Any = _Chain()
    known = BlockTimes(chain)
    placed = {1: Placed(0, 1, "0x" + "ff" * 32), 2: Placed(0, None, None)}
    known.ask(known.missing(placed))
    assert known.known(placed) == {}


def test_a_chain_that_is_down_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    chain: Any = _Chain()
    chain.is_down = True
    known = BlockTimes(chain)
    known.ask(known.missing(_placed(1)))
    assert known.missing(_placed(1)) == {}
    known.ask({"0x" + f"{1:064x}": 1})
    assert chain.asked == [[1]]
    monkeypatch.setattr(times, "LEFT_ALONE_SECONDS", 0.0)
    known._not_before = 0.0
    chain.is_down = False
    known.ask(known.missing(_placed(1)))
    assert known.known(_placed(1)) == {1: 1_001}


def test_a_chain_that_hangs_is_left_alone_too() -> None:
    chain: Any = _Chain()
    known = BlockTimes(chain)
    known.leave_alone()
    assert known.missing(_placed(1)) == {}
    known.ask(_blocks(range(1, 2)))
    assert chain.asked == []


def test_a_page_that_was_kept_is_made_anew_when_something_changes(http: httpx.Client, node: RunningNode) -> None:
    maker = people.maker(node.client)
    (goods_id,) = maker.goods(1)
    people.settled(node.client, goods_id)
    before = http.get(f"/t/{goods_id}").text
    assert http.get(f"/t/{goods_id}").text == before
    maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1, form_value=b'{"step":"roast"}')
    assert "roast" in http.get(f"/t/{goods_id}").text
    people.settled(node.client, goods_id)
    assert data_of(http.get(f"/t/{goods_id}").text)["circs"][1]["status"] == "success"
    maker.boss.call("UpdateUser", user={"username": maker.boss.username, "nickname": "Another"})
    assert data_of(http.get(f"/t/{goods_id}").text)["parties"][maker.boss.username][0] == "Another"


def test_many_readers_ask_one_after_the_other() -> None:
    chain: Any = _Chain()
    known = BlockTimes(chain)
    threads = [threading.Thread(target=lambda: known.ask(_blocks(range(1, 50)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(known.known(_placed(*range(1, 50)))) == 49


def _blocks(numbers: range) -> dict[str, int]:
    return {f"0x{number:064x}": number for number in numbers}
