"""What the audit log of a running node keeps of calls: who, what, with which result; and nothing personal."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import httpx
import pytest

from node.api.witness import READS
from node.domain.access import ACCESS
from node.errors import Status
from tests.support import people
from tests.support.node import RunningNode, eventually
from tests.support.wire_client import Refusal


def entries(node: RunningNode) -> list[dict[str, Any]]:
    """The entries as the index has them."""
    with closing(sqlite3.connect(node.data_dir / "index.sqlite3", timeout=30)) as index:
        return [json.loads(body) for (body,) in index.execute("SELECT body FROM log_entry ORDER BY number")]


def shown(node: RunningNode, *args: str) -> list[dict[str, Any]]:
    """The entries as the command shows them."""
    done = node.command("log", "show", "--data-dir", str(node.data_dir), *args)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def of(node: RunningNode, user: str, last: str) -> list[dict[str, Any]]:
    """The entries of a user, once the last is there."""

    def found() -> list[dict[str, Any]] | None:
        mine = [entry for entry in entries(node) if entry.get("who") == user]
        return mine if any(entry["call"] == last for entry in mine) else None

    result: list[dict[str, Any]] = eventually(found)
    return result


def failed_logins(node: RunningNode, on: dict[str, str] | None = None) -> list[dict[str, Any]]:
    found = [one for one in entries(node) if one["call"] == "Token" and one["result"] == "UNAUTHENTICATED"]
    return [one for one in found if on in (None, one["on"])]


def test_every_rpc_that_changes_something_is_kept() -> None:
    assert ACCESS.keys() >= READS
    changing = (
        "Create",
        "Update",
        "Delete",
        "Set",
        "Batch",
        "Upload",
        "Register",
        "Token",
        "Refresh",
        "Identity",
        "Org",
    )
    for name in ACCESS:
        assert not (name in READS and name.startswith(changing)), name
    for name in ("ListOrgMember", "GetOrgUser", "Member", "Predict"):
        assert name not in READS


def test_a_partners_day_is_in_the_log(node: RunningNode) -> None:
    maker = people.maker(node.client)
    goods = maker.goods(3)
    maker.boss.call("CreateCirc", goods_id=goods[0], circ_type=1, to="", form_value=b'{"secret":"word"}')
    maker.boss.call("BatchCirc", goods_ids=goods, circ_type=1)
    maker.boss.call("GetCirc", goods_id=goods[0])
    maker.boss.call("Profile")
    kept = of(node, maker.boss.username, "BatchCirc")
    calls = [entry["call"] for entry in kept]
    assert calls[:3] == ["Register", "IdentityAuth", "OrgAuth"]
    assert not {"GetCirc", "Profile"} & set(calls)
    circ = kept[calls.index("CreateCirc")]
    assert circ["on"]["first"] == goods[0]
    assert circ["on"]["trans_ids"][0].startswith("0x")
    assert kept[calls.index("BatchCirc")]["on"]["goods"] == 3
    assert all(len(entry["from"]) == 64 for entry in kept)
    text = json.dumps(kept)
    for told in (maker.boss.phone, "secret", people.PASSWORD):
        assert told not in text


def test_refusals_are_kept_with_what_was_said(node: RunningNode) -> None:
    person = people.register(node.client)
    for _ in range(3):
        with pytest.raises(Refusal):
            person.client.call("CreateCirc", goods_id=1, circ_type=1, to="")
    with pytest.raises(Refusal):
        person.client.call("DeleteUser", username="13800138000")
    kept = [entry for entry in of(node, person.username, "DeleteUser") if entry["result"] != "OK"]
    assert sum(entry.get("times", 1) for entry in kept if entry["call"] == "CreateCirc") == 3
    assert {entry["result"] for entry in kept} == {Status.PERMISSION_DENIED.value}
    assert "13800138000" not in json.dumps(kept)


def test_a_failed_login_is_kept_without_the_phone_and_a_good_one_with_its_user(node: RunningNode) -> None:
    person = people.register(node.client)
    with pytest.raises(Refusal):
        node.client.call("Token", phone=person.phone, password="not the password")
    node.client.call("Token", phone=person.phone, password=people.PASSWORD)
    assert [entry["call"] for entry in of(node, person.username, "Token")] == ["Register", "Token"]
    (failed,) = eventually(lambda: failed_logins(node, {"user": person.username}))
    assert "who" not in failed
    with pytest.raises(Refusal):
        node.client.call("Token", phone="19999999999", password="not the password")
    unknown = eventually(lambda: [one for one in failed_logins(node) if "unknown_phone" in one["on"]])
    assert "19999999999" not in json.dumps(unknown)
    assert person.phone not in json.dumps(entries(node))
    about = shown(node, "--user", person.username)
    assert {one["result"] for one in about if one["call"] == "Token"} == {"UNAUTHENTICATED", "OK"}
    with pytest.raises(Refusal):
        node.client.with_token("rubbish").call("Profile")
    eventually(lambda: [entry for entry in entries(node) if entry.get("reason") == "TOKEN_EXPIRED"])


def test_commands_of_the_operator_are_kept_and_filters_hold(node: RunningNode) -> None:
    person = people.register(node.client)
    granted = node.command("admin", "grant", person.username, "examiner", "--data-dir", str(node.data_dir))
    assert granted.returncode == 0, granted.stderr
    kept = shown(node, "--user", "operator")
    assert kept[-1]["call"] == "admin grant"
    assert kept[-1]["on"] == {"user": person.username, "role": "examiner"}
    day = kept[-1]["at"][:10]
    since = shown(node, "--since", day, "--until", "2999-01-01T00:00Z")
    assert kept[-1] in since
    assert {entry["address"] for entry in since if entry.get("who") == person.username} == {"127.0.0.1"}
    assert not shown(node, "--until", "2020-01-01")
    refused = node.command("log", "show", "--since", "yesterday", "--data-dir", str(node.data_dir))
    assert refused.returncode == 2
    assert "want YYYY-MM-DD" in refused.stderr


def test_the_log_of_a_running_node_is_verified_beside_it(node: RunningNode) -> None:
    people.register(node.client)
    verified = node.command("log", "verify", "--data-dir", str(node.data_dir), "--rpc", node.rpc_url)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "anchored: not yet" in verified.stdout


def test_what_only_some_may_read_of_events_is_kept(node: RunningNode) -> None:
    maker = people.maker(node.client)
    people.settled(node.client, maker.goods(2)[0])
    own = {"authorization": f"Bearer {maker.boss.client.token}"}
    before = len(entries(node))
    with httpx.Client(base_url=f"http://{node.ready['http']}", timeout=30) as http:
        told = http.get("/epcis/events", headers=own | {"x-request-id": "5" * 32})
        assert told.status_code == 200
        event = told.json()["epcisBody"]["queryResults"]["resultsBody"]["eventList"][0]
        assert http.get("/epcis/events", headers={"authorization": "Bearer rubbish"}).status_code == 401
        assert http.get("/epcis/events", params={"MATCH_anyEPC": event["epcList"][0]}).status_code == 200
    kept = of(node, maker.boss.username, "events")[-1]
    assert (kept["call"], kept["on"], kept["request"]) == ("events", {"events": 1}, "5" * 32)

    def mine() -> list[tuple[str, str]]:
        return [(one["result"], one.get("reason", "")) for one in entries(node)[before:] if one["call"] == "events"]

    eventually(lambda: len(mine()) > 1)
    assert sorted(mine()) == [("OK", ""), ("UNAUTHENTICATED", "TOKEN_EXPIRED")]


def test_a_document_that_is_refused_is_kept(node: RunningNode) -> None:
    maker = people.maker(node.client)
    headers = {"authorization": f"Bearer {maker.boss.client.token}", "content-type": "application/json"}
    faulty, large = {"type": "secret"}, {"type": "EPCISDocument", "epcisBody": {"eventList": [{}] * 10_000}}
    with httpx.Client(base_url=f"http://{node.ready['http']}", headers=headers, timeout=30) as http:
        assert http.post("/epcis/capture", json=faulty).status_code == 400
        assert http.post("/epcis/capture", json=large).status_code == 413
    mine = {"who": maker.boss.username, "call": "capture", "result": "INVALID_ARGUMENT"}

    def refused() -> int:
        return sum(one.get("times", 1) for one in entries(node) if mine.items() <= one.items())

    eventually(lambda: refused() == 2)
    assert "secret" not in json.dumps(entries(node))
