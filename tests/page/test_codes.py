"""The codes of goods as pictures, and where they lead: GS1 Digital Links over HTTP."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import jsonschema
import pytest
import zxingcpp
from PIL import Image

from node.page.digital_link import LINK_TYPES
from tests.page.browser import reading, verdict
from tests.support import people
from tests.support.node import RunningNode

GTIN, SHORT = "06901234567892", "6901234567892"
OTHER = "00012345678905"
LINKSET = "application/linkset+json"
VOCABULARY = "https://ref.gs1.org/voc/"

SHAPE = {
    "type": "object",
    "required": ["linkset"],
    "additionalProperties": False,
    "properties": {
        "linkset": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["anchor", f"{VOCABULARY}defaultLink"],
                "properties": {"anchor": {"type": "string", "pattern": "^https?://.+/01/[0-9]{14}"}},
                "additionalProperties": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["href", "title"],
                        "properties": {
                            "href": {"type": "string", "pattern": "^https?://"},
                            "title": {"type": "string", "minLength": 1},
                            "type": {"type": "string", "pattern": "^[^/]+/[^/]+$"},
                            "hreflang": {"type": "array", "items": {"type": "string"}},
                        },
                        "additionalProperties": False,
                    },
                },
            },
        }
    },
}
"""What RFC 9264 (section 4.2) and the GS1 resolver standard ask of a linkset."""


@dataclass
class Scene:
    """``coded`` is of a class with a GTIN, in ``serial``; ``sibling`` of another serial of it; ``plain`` of none."""

    http: httpx.Client
    node: RunningNode
    serial: int
    coded: int
    sibling: int
    plain: int

    @property
    def base(self) -> str:
        return f"http://{self.node.ready['http']}"

    def link(self, gtin: str = GTIN, serial: object = None, goods: object = None) -> str:
        return f"/01/{gtin}/10/{serial or self.serial}/21/{goods or self.coded}"


@pytest.fixture(scope="module")
def scene(node: RunningNode) -> Iterator[Scene]:
    maker = people.maker(node.client)
    (plain,) = maker.goods(1)
    described = json.dumps({"gtin": SHORT, "variety": "Catimor"}).encode()
    made = maker.boss.call("CreateGoodsClass", goods_name="普洱茶 Pu-erh", goods_des=described).class_id.value
    found = []
    for _ in range(2):
        serial = maker.boss.call("CreateGoodsSerial", class_id=made, product_time=1_760_000_000).serial_id.value
        found.append((serial, maker.boss.call("BatchCreateGoods", serial_id=serial, sum=1).ids[0].value))
    with httpx.Client(base_url=f"http://{node.ready['http']}", timeout=30) as http:
        yield Scene(http, node, found[0][0], found[0][1], found[1][1], plain)


def _read(picture: bytes) -> str:
    (read,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)).convert("L"))
    return str(read.text)


def test_the_code_of_goods_leads_to_their_page(scene: Scene) -> None:
    ready = scene.node.ready
    behind = f"#c={ready['chain_id']}:{ready['contract']}"
    answer = scene.http.get(f"/t/{scene.plain}/qr.png")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")
    assert _read(answer.content) == f"{scene.base}/t/{scene.plain}{behind}"
    answer = scene.http.get(f"/t/{scene.coded}/qr.png")
    assert _read(answer.content) == f"{scene.base}{scene.link()}{behind}"
    page = scene.http.get(_read(answer.content), follow_redirects=True)
    assert page.status_code == 200
    assert str(page.url) == f"{scene.base}/t/{scene.coded}{behind}"
    assert "普洱茶 Pu-erh" in page.text


def test_an_svg_code_runs_nothing(scene: Scene) -> None:
    answer = scene.http.get(f"/t/{scene.coded}/qr.svg")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["cache-control"] == "public, max-age=3600"
    assert answer.text.startswith("<svg")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/t/999999/qr.svg", "There are no goods with this number here."),
        ("/t/0/qr.png", "There are no goods with this number here."),
        ("/t/2147483648/qr.png", "There are no goods with this number here."),
        ("/t/x/qr.png", "This is not a number of goods."),
        ("/t/%D9%A1/qr.png", "This is not a number of goods."),
        ("/t/1/qr.gif", "This is not a number of goods."),
    ],
)
def test_codes_of_goods_that_are_not_there(scene: Scene, path: str, said: str) -> None:
    answer = scene.http.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
    assert said in answer.text


def test_a_phone_that_follows_a_link_still_knows_the_label_s_contract(browser: Any, scene: Scene) -> None:
    people.settled(scene.node.client, scene.coded)
    label = _read(scene.http.get(f"/t/{scene.coded}/qr.png").content)
    other = label[:-40] + "00" * 20
    with reading(browser) as page:
        assert verdict(page, label) == ("checked", [])
        assert page.url.startswith(f"{scene.base}/t/{scene.coded}#c=")
    with reading(browser) as page:
        state, differences = verdict(page, other)
        assert (state, len(differences)) == ("differs", 1)
        assert "contract" in differences[0]


@pytest.mark.parametrize("gtin", [GTIN, SHORT])
@pytest.mark.parametrize("end", ["", "/"])
def test_a_link_leads_to_the_page(scene: Scene, gtin: str, end: str) -> None:
    answer = scene.http.get(scene.link(gtin) + end)
    assert (answer.status_code, answer.headers["location"]) == (307, f"{scene.base}/t/{scene.coded}")
    assert answer.headers["link"] == (f'<{scene.base}{scene.link()}?linkType=linkset>; rel="linkset"; type="{LINKSET}"')
    assert answer.headers["access-control-allow-origin"] == "*"
    assert scene.http.get(f"/01/{gtin}/21/{scene.coded}{end}").headers["location"] == answer.headers["location"]


@pytest.mark.parametrize("kind", sorted(LINK_TYPES))
@pytest.mark.parametrize("prefix", ["gs1:", VOCABULARY, "https://gs1.org/voc/"])
def test_every_kind_of_link_leads_to_the_page(scene: Scene, kind: str, prefix: str) -> None:
    answer = scene.http.get(scene.link(), params={"linkType": prefix + kind})
    assert (answer.status_code, answer.headers["location"]) == (307, f"{scene.base}/t/{scene.coded}")


@pytest.mark.parametrize(
    "asked", ["gs1:nutritionalInfo", "pip", "gs1:", "gs1:constructor", "ALL", "https://evil.example/pip", "<b>"]
)
def test_other_kinds_of_links_are_not_there(scene: Scene, asked: str) -> None:
    answer = scene.http.get(scene.link(), params={"linkType": asked})
    assert answer.status_code == 404
    assert "There is no link of the kind that was asked for." in answer.text
    assert 'rel="linkset"' in answer.headers["link"]


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("lang=zh", "?lang=zh"),
        ("linkType=gs1:pip&lang=zh&x=1%202", "?lang=zh&x=1%202"),
        ("linkType=", ""),
        ("17=261031&&3103=000195", "?17=261031&3103=000195"),
        ("a=%0d%0aSet-Cookie:x", "?a=%0d%0aSet-Cookie:x"),
    ],
)
def test_the_rest_of_a_query_is_passed_on(scene: Scene, query: str, kept: str) -> None:
    answer = scene.http.get(f"{scene.link()}?{query}")
    assert (answer.status_code, answer.headers["location"]) == (307, f"{scene.base}/t/{scene.coded}{kept}")
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("params", "accept"),
    [
        ({"linkType": "all"}, "*/*"),
        ({"linkType": "linkset"}, "text/html"),
        ({}, LINKSET),
        ({}, f"text/html;q=0.1, {LINKSET};q=0.9"),
    ],
)
def test_all_links_as_a_linkset(scene: Scene, params: dict[str, str], accept: str) -> None:
    answer = scene.http.get(scene.link(SHORT), params=params, headers={"Accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, LINKSET)
    assert "Accept" in answer.headers["vary"]
    about, context = answer.headers["link"].split(", ")
    assert 'rel="linkset"' in about
    assert context.startswith("<https://ref.gs1.org/standards/resolver/linkset-context>")
    document = answer.json()
    jsonschema.validate(document, SHAPE)
    (found,) = document["linkset"]
    assert found["anchor"] == f"{scene.base}{scene.link()}"
    assert found.keys() - {"anchor"} == {f"{VOCABULARY}{kind}" for kind in LINK_TYPES}
    for kind in LINK_TYPES:
        (target,) = found[f"{VOCABULARY}{kind}"]
        assert scene.http.get(target["href"]).headers["content-type"].startswith(target["type"])


def _others(scene: Scene) -> list[str]:
    return [
        scene.link(OTHER),
        scene.link(serial=scene.serial + 1_000),
        scene.link(serial=f"0{scene.serial}"),
        scene.link(serial="LOT"),
        scene.link(goods=scene.sibling),
        scene.link(goods=scene.plain),
        scene.link(goods=999_999),
        scene.link(goods=f"0{scene.coded}"),
        scene.link(goods="9" * 20),
        scene.link(goods="x"),
        f"/01/{OTHER}/21/{scene.plain}",
        f"/01/{GTIN}/22/A/10/{scene.serial}/21/{scene.coded}",
    ]


def test_what_does_not_belong_together_is_not_found(scene: Scene) -> None:
    for path in _others(scene):
        answer = scene.http.get(path)
        assert answer.status_code == 404, path
        assert "No item here has this product number" in answer.text
        assert scene.http.get(path, params={"linkType": "all"}).status_code == 404, path
    assert "没有同时具有此商品编号" in scene.http.get(_others(scene)[0], headers={"Accept-Language": "zh"}).text


@pytest.mark.parametrize("rest", ["", "/10/12", "/22/A", "/10/12/", "/10/<script>"])
def test_a_kind_of_product_has_no_history(scene: Scene, rest: str) -> None:
    for gtin in (GTIN, OTHER):
        answer = scene.http.get(f"/01/{gtin}{rest}")
        assert answer.status_code == 404
        assert "names a kind of product or a batch of it" in answer.text
        assert "<script>" not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/01",
        "/01/",
        "/01/x",
        "/01/06901234567893",
        f"/01/{GTIN}/10",
        f"/01/{GTIN}/foo",
        f"/01/{GTIN}/21/1/10/1",
        f"/01/{GTIN}/10/" + "1" * 5_000,
        f"/01/{GTIN}/10/%00",
        f"/01/{GTIN}/10/%FF",
        f"/01/{GTIN}/8011/5",
    ],
)
def test_what_is_no_digital_link_is_said_so(scene: Scene, path: str) -> None:
    answer = scene.http.get(path)
    assert answer.status_code == 400
    assert "This is not a GS1 Digital Link" in answer.text
    assert "<script>" not in answer.text
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "unsafe" not in answer.headers["content-security-policy"]


def test_head_and_options(scene: Scene) -> None:
    head = scene.http.head(scene.link())
    assert (head.status_code, head.content) == (307, b"")
    assert head.headers["location"] == scene.http.get(scene.link()).headers["location"]
    options = scene.http.options(scene.link())
    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert scene.http.post(scene.link()).status_code == 405


def test_the_resolver_describes_itself(scene: Scene) -> None:
    answer = scene.http.get("/.well-known/gs1resolver")
    told: dict[str, Any] = answer.json()
    assert (told["resolverRoot"], told["supportedPrimaryKeys"]) == (scene.base, ["01"])
    assert answer.headers["access-control-allow-origin"] == "*"
