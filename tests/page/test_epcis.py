"""GET /epcis/events of a running node, as EPCIS 2.0's REST interface has it, and the export of its data directory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from click.testing import CliRunner, Result

from node.cli import main
from tests.epcis.judges import events_of, judged
from tests.support import people
from tests.support.node import RunningNode, running
from tests.support.people import Maker, Person

GTIN = "06901234567892"


class Story:
    """A node with goods of a class with a GTIN: made, packed, examined with a bad result, and handed on."""

    def __init__(self, node: RunningNode) -> None:
        self.node = node
        client = node.client
        self.maker: Maker = people.maker(client)
        made = self.maker.boss.call("CreateGoodsClass", goods_name="Tea", goods_des=b'{"gtin": "6901234567892"}')
        serial = self.maker.boss.call("CreateGoodsSerial", class_id=made.class_id.value, product_time=1_760_000_000)
        self.serial_id = serial.serial_id.value
        answer = self.maker.boss.call("BatchCreateGoods", serial_id=self.serial_id, sum=3)
        self.goods = [each.value for each in answer.ids]
        self.carrier: Person = people.transporter(client)
        place = {"id": "https://id.gs1.org/414/6901234567892"}
        self.record(1, {"bizStep": "packing", "readPoint": place})
        self.record(4, {"result": "fail"})
        self.record(3, {"bizLocation": place}, to=self.carrier.username)
        self.others = self.maker.goods(2)
        for each in (*self.goods, *self.others):
            people.settled(client, each)
        self.http = httpx.Client(base_url=f"http://{node.ready['http']}", timeout=30)

    def record(self, kind: int, form: dict[str, Any], **more: Any) -> None:
        value = json.dumps(form).encode()
        self.maker.boss.call("BatchCirc", goods_ids=self.goods, circ_type=kind, form_info=value, **more)

    def epc(self, goods_id: int) -> str:
        return f"https://id.gs1.org/01/{GTIN}/21/{goods_id}"

    def get(
        self, *, caller: Person | None = None, headers: dict[str, str] | None = None, **asked: Any
    ) -> httpx.Response:
        given = dict(headers or {})
        if caller is not None:
            given["authorization"] = f"Bearer {caller.client.token}"
        return self.http.get("/epcis/events", params=asked, headers=given)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with running(tmp_path_factory.mktemp("epcis") / "d") as node:
        made = Story(node)
        try:
            yield made
        finally:
            made.http.close()


def test_anybody_gets_the_events_of_named_goods(story: Story) -> None:
    answer = story.get(MATCH_epc=story.epc(story.goods[0]))
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    for name in ("GS1-EPCIS-Version", "GS1-EPCIS-Min", "GS1-EPCIS-Max", "GS1-CBV-Version"):
        assert answer.headers[name] == "2.0"
    assert answer.headers["GS1-EPC-Format"] == "Always_GS1_Digital_Link"
    assert "Link" not in answer.headers
    document = answer.json()
    assert document["type"] == "EPCISQueryDocument"
    events = events_of(document)
    base = f"urn:vtrace:{story.node.ready['chain_id']}:{story.node.ready['contract'].lower()}"
    assert [(event["action"], event["bizStep"], event["disposition"]) for event in events] == [
        ("ADD", "commissioning", "active"),
        ("OBSERVE", "packing", "in_progress"),
        ("OBSERVE", "inspecting", "non_conformant"),
        ("OBSERVE", "shipping", "in_transit"),
    ]
    assert all(event["epcList"] == [story.epc(each) for each in story.goods] for event in events)
    assert events[0]["ilmd"] == {"cbvmda:lotNumber": str(story.serial_id), "cbvmda:productionDate": "2025-10-09"}
    assert events[1]["readPoint"] == events[3]["bizLocation"]
    assert events[3]["destinationList"][0]["destination"].startswith(f"{base}:party:")
    history = people.history(story.node.client, story.goods[0])
    assert [event["vtrace:trans_id"] for event in events] == [circ.trans_id.value for circ in history]
    private = story.get(MATCH_anyEPC=f"{base}:obj:{story.goods[1]}", caller=None)
    assert events_of(private.json()) == events
    verdict = judged([document])
    assert verdict.is_good, f"{verdict}\n{verdict.errors[:5]}"


def test_a_producer_turns_the_pages_of_its_org(story: Story) -> None:
    found: list[str] = []
    answer = story.get(caller=story.maker.boss, perPage=2, EQ_action="ADD|OBSERVE")
    while True:
        assert answer.status_code == 200, answer.text
        events = events_of(answer.json())
        assert len(events) <= 2
        found += [event["vtrace:trans_id"] for event in events]
        if "Link" not in answer.headers:
            break
        assert answer.headers["link"].endswith('; rel="next"')
        address = answer.links["next"]["url"]
        assert set(parse_qs(urlsplit(address).query)) == {"perPage", "EQ_action", "nextPageToken"}
        answer = story.http.get(address, headers={"authorization": f"Bearer {story.maker.boss.client.token}"})
    assert len(found) == len(set(found)) == 5
    other = people.maker(story.node.client)
    assert events_of(story.get(caller=other.boss).json()) == []


@pytest.mark.parametrize(
    ("asked", "status", "kind", "says"),
    [
        ({}, 401, "SecurityException", "authorization"),
        ({"EQ_bizStep": "shipping"}, 401, "SecurityException", "authorization"),
        ({"EQ_bizstep": "shipping"}, 400, "QueryParameterException", "EQ_bizstep"),
        ({"MATCH_epc": "urn:a:1", "perPage": "0"}, 400, "QueryParameterException", "1 to 1000"),
        ({"MATCH_epc": ["urn:a:1", "urn:a:2"]}, 400, "QueryParameterException", "said twice"),
        ({"MATCH_epc": "urn:a:1", "nextPageToken": "x"}, 400, "QueryParameterException", "nextPageToken"),
        ({"MATCH_epc": "urn:a:" + "1" * 20_000}, 414, "URITooLongException", "16384"),
    ],
)
def test_a_refusal_is_a_problem_that_says_what_is_wanted(
    story: Story, asked: dict[str, Any], status: int, kind: str, says: str
) -> None:
    answer = story.get(**asked)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert (problem["type"], problem["status"]) == (f"epcisException:{kind}", status)
    assert problem["title"]
    assert says in problem["detail"]
    assert ("www-authenticate" in answer.headers) == (status == 401)


def test_who_makes_nothing_lists_nothing(story: Story) -> None:
    answer = story.get(caller=story.carrier)
    assert (answer.status_code, answer.json()["type"]) == (403, "epcisException:SecurityException")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"accept": "application/ld+json"}, 200),
        ({"accept": "text/html, */*;q=0.1"}, 200),
        ({"accept": "application/xml"}, 406),
        ({"GS1-EPCIS-Version": "2.0.0"}, 200),
        ({"GS1-EPCIS-Version": "1.2"}, 406),
        ({"GS1-EPCIS-Min": "2.1"}, 406),
        ({"GS1-CBV-Max": "1.2"}, 406),
        ({"GS1-EPC-Format": "Always_EPC_URN"}, 406),
        ({"GS1-EPC-Format": "No_Preference"}, 200),
    ],
)
def test_forms_and_versions_are_agreed_on(story: Story, headers: dict[str, str], status: int) -> None:
    answer = story.get(headers=headers, MATCH_epc=story.epc(story.goods[0]))
    assert answer.status_code == status
    if "ld+json" in headers.get("accept", ""):
        assert answer.headers["content-type"] == "application/ld+json"


def test_the_endpoint_tells_what_it_speaks(story: Story) -> None:
    answer = story.http.options("/epcis/events")
    assert (answer.status_code, answer.headers["gs1-epcis-max"], answer.content) == (204, "2.0", b"")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    head = story.http.head("/epcis/events", params={"MATCH_epc": story.epc(story.goods[0])})
    assert (head.status_code, head.content) == (200, b"")
    assert story.http.post("/epcis/events").status_code == 405


def test_the_export_has_what_the_queries_have(story: Story, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonld"
    data_dir = str(story.node.data_dir)
    done = export("--data-dir", data_dir, "--out", str(out))
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", "epcis export: 5 events\n")
    document = json.loads(out.read_text())
    assert document["type"] == "EPCISDocument"
    asked = story.get(MATCH_epc=story.epc(story.goods[0])).json()
    assert events_of(document)[:4] == events_of(asked)
    assert judged([document]).is_good
    done = export("--data-dir", data_dir, "--epc", story.epc(story.goods[2]))
    assert events_of(json.loads(done.stdout)) == events_of(asked)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    done = export("--data-dir", data_dir, "--epc", "17")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "--epc: MATCH_anyEPC: 17, want the URI of an EPC" in done.stderr
    done = export("--data-dir", data_dir, "--out", str(tmp_path / "no" / "file"))
    assert (done.exit_code, done.stderr) == (1, f"Error: --out {tmp_path}/no/file: No such file or directory\n")


def test_the_export_of_a_running_node(story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.domain.epcis.query.PER_PAGE_MAX", 2)
    url, token = f"http://{story.node.ready['http']}", tmp_path / "token"
    token.write_text(f"{story.maker.boss.client.token}\n")
    done = export("--url", url, "--epc", story.epc(story.goods[0]))
    assert done.exit_code == 0, done.output
    assert events_of(json.loads(done.stdout)) == events_of(story.get(MATCH_epc=story.epc(story.goods[0])).json())
    done = export("--url", url, "--token-file", str(token))
    assert len(events_of(json.loads(done.stdout))) == 5
    refused = export("--url", url)
    assert (refused.exit_code, refused.stderr.startswith(f"Error: --url {url}: HTTP 401: ")) == (1, True)
    assert export("--url", f"{url}/t").exit_code == 1
    assert "want an http(s) URL" in export("--url", "127.0.0.1:8080").stderr
    assert "No such file" in export("--url", url, "--token-file", str(tmp_path / "no")).stderr


def export(*args: str) -> Result:
    return CliRunner().invoke(main, ["epcis", "export", *args])
