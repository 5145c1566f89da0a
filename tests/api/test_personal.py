"""Personal data of a whole run: shown to its owner, written nowhere in the open, exported and erased."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from node.cli import main
from node.config import Config
from node.store.seal import Seal
from node.store.sqlite import PRAGMAS
from tests.flow.world import started
from tests.support import people
from tests.support.node import RunningNode, eventually, running
from tests.support.people import Person
from tests.support.wire_client import Refusal, WireClient

PHONE, PASSWORD, EMAIL = "13987654321", "a very private passphrase", "geheim.person@example.com"
REALNAME, NUMBER = "欧阳娜娜", people.resident_id(4_321)
LEGAL_NAME, LEGAL_PHONE = "司马相如", "0871-7654321"
TOLD = (PHONE, PASSWORD, EMAIL, REALNAME, NUMBER, LEGAL_NAME, LEGAL_PHONE)
WRONG = ("1398765432", "geheim.person-at-example.com", "530102900101432", "欧阳\u202e娜娜", "0871-76543x21", "privat!")
"""What was given and refused. It is as personal as what was taken."""
FORM = {"patient": "诸葛孔明", "insured": "CN-5512-8890"}
OPEN_FORM = {"moisture_percent": 11.2}
OPEN_FORM_TEXT = "moisture_percent"


@dataclass
class Run:
    """A node's life: what was said, what it wrote, and who took part."""

    data_dir: Path
    person: Person
    goods_id: int
    printed: str
    log: str
    answers: list[str] = field(default_factory=list)


def post(node: RunningNode, route: str, token: str | None, body: dict[str, Any]) -> httpx.Response:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    return httpx.post(f"http://{node.ready['http']}/api/v1/{route}", json=body, headers=headers)


def form(value: dict[str, str] | dict[str, float]) -> str:
    return base64.b64encode(json.dumps(value, ensure_ascii=False).encode()).decode()


def circ(node: RunningNode, token: str | None, goods_id: int, value: dict[str, Any], **more: Any) -> None:
    body = {"goodsId": goods_id, "circType": "process", "formValue": form(value), **more}
    assert post(node, "circ:create", token, body).status_code == 200


def shown(node: RunningNode, goods_id: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = post(node, "circ:get", None, {"goodsId": goods_id}).json()["circRecords"]
    return found


def refusals(node: RunningNode, client: WireClient) -> Iterator[str]:
    """Every way to say something personal that is wrong, and what was answered."""
    phone, email, number, name, legal_phone, password = WRONG
    org = {"legal_name": LEGAL_NAME, "org_name": "o", "code": people.org_code(4_321), "legal_phone": LEGAL_PHONE}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("Register", {"phone": phone, "nickname": "n", "passwd": PASSWORD}),
        ("Register", {"phone": PHONE, "nickname": "n", "passwd": PASSWORD}),
        ("Register", {"phone": "13987654322", "nickname": "n", "passwd": password}),
        ("Token", {"phone": PHONE, "password": password}),
        ("Token", {"phone": phone, "password": PASSWORD}),
        ("IdentityAuth", {"realname": name, "idcard": NUMBER}),
        ("IdentityAuth", {"realname": REALNAME, "idcard": number}),
        ("UpdateUser", {"user": {"email": email}}),
        ("UpdateUser", {"user": {"phone": "13987654322"}}),
        ("UpdateUser", {"user": {"realname": name}}),
        ("OrgAuth", org | {"legal_phone": legal_phone}),
        ("OrgAuth", org | {"legal_name": name}),
        ("OrgAuth", org | {"code": "1"}),
    ]
    for rpc, given in calls:
        with pytest.raises(Refusal) as refused:
            client.call(rpc, **given)
        yield f"{rpc} {refused.value} {refused.value.metadata} {refused.value.fields}"
    for route, body in (
        ("register", {"phone": int(phone), "nickname": "n", "passwd": [PASSWORD]}),
        ("token", {"phone": {"value": PHONE}, "password": int(PHONE)}),
        ("user:update", {"user": {"phone": int(PHONE), "email": email}}),
        ("user:update", {"user": {"email": [email]}}),
        ("user:update", {"user": {"email": email}}),
        ("user:identity", {"realname": 7, "idcard": int(number)}),
        ("org:auth", {"legalName": name, "legalPhone": int(PHONE)}),
    ):
        answer = post(node, route, client.token, body)
        assert answer.status_code >= 400
        yield f"{route} {answer.text}"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    data_dir = tmp_path_factory.mktemp("personal") / "data"
    with running(data_dir, "--publish-forms") as node:
        given = {"phone": PHONE, "nickname": "n", "passwd": PASSWORD}
        answer = node.client.with_key("once").call("Register", **given)
        assert node.client.with_key("once").call("Register", **given) == answer
        person = Person(answer.user.username.value, PHONE, node.client.with_token(answer.token.value))
        answers = list(refusals(node, person.client))
        person.call("UpdateUser", user={"email": EMAIL})
        person.call("IdentityAuth", realname=REALNAME, idcard=NUMBER)
        org = {"legal_name": LEGAL_NAME, "org_name": "o", "code": people.org_code(4_321), "legal_phone": LEGAL_PHONE}
        org_id = person.call("OrgAuth", **org).org.id.value
        class_id = person.call("CreateGoodsClass", goods_name="k", goods_des=b"{}", tm="t").class_id.value
        serial = person.call("CreateGoodsSerial", class_id=class_id, product_time=1_760_000_000)
        (goods_id,) = people.Maker(person, org_id, class_id, serial.serial_id.value).goods(1)
        circ(node, person.client.token, goods_id, FORM, private=True)
        circ(node, person.client.token, goods_id, OPEN_FORM)
        people.settled(node.client, goods_id)
        stranger = people.register(node.client)
        answers.append(str(stranger.call("GetOrgUser", username=person.username)))
        answers.append(httpx.get(_page(node, goods_id)).text)
        answers.append(httpx.get(f"http://{node.ready['http']}/metrics").text)
        person.call("Member", org_id=org_id, username=stranger.username)
        answers.append(str(stranger.call("GetOrgUser")))
        is_published(data_dir, 2)
        assert node.process.stdout is not None
        node.process.terminate()
        printed = json.dumps(node.ready) + node.process.stdout.read().decode()
    return Run(data_dir, person, goods_id, printed, node.log(), answers)


def _page(node: RunningNode, goods_id: int) -> str:
    return f"http://{node.ready['http']}/t/{goods_id}"


def is_published(data_dir: Path, total: int) -> None:
    def published() -> bool:
        with closing(sqlite3.connect(data_dir / "index.sqlite3")) as index:
            return index.execute("SELECT count(*) FROM published").fetchone() == (total,)

    eventually(published)


def spellings(text: str) -> list[bytes]:
    return [text.encode(), json.dumps(text)[1:-1].encode(), text.encode("utf-16-le"), text.encode().hex().encode()]


def open_in(content: bytes, texts: tuple[str, ...]) -> list[str]:
    return [text for text in texts if any(spelt in content for spelt in spellings(text))]


def open_files(folder: Path, texts: tuple[str, ...]) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [f"{text} in {path.name}" for path in files for text in open_in(path.read_bytes(), texts)]


def test_a_full_run_writes_nothing_personal_anywhere(run: Run) -> None:
    """Index with its log, embedded chain, files, stdout and the log: whatever the node wrote while it ran."""
    assert open_files(run.data_dir, (*TOLD, *WRONG)) == []
    assert open_in(run.printed.encode(), (*TOLD, *WRONG)) == []
    assert open_in(run.log.encode(), (*TOLD, *WRONG)) == []
    assert open_files(run.data_dir, (OPEN_FORM_TEXT,)) != []  # what is meant to be read is found: the search works


def test_no_refusal_and_nobody_elses_answer_has_it(run: Run) -> None:
    for answer in run.answers:
        assert open_in(answer.encode(), (*TOLD, *WRONG)) == [], answer


def test_its_owner_sees_it_and_others_see_masks(run: Run, tmp_path: Path) -> None:
    data_dir = copied(run, tmp_path)
    with running(data_dir) as node:
        person = logged_in(node)
        user = person.call("Profile").user
        assert (user.phone.value, user.email.value, user.realname.value, user.idcard.value) == (
            *(PHONE, EMAIL, REALNAME, NUMBER),
        )
        org = person.call("GetOrgUser").org
        assert (org.legal_person_name.value, org.legal_person_phone.value) == (LEGAL_NAME, LEGAL_PHONE)
        member = people.register(node.client)
        person.call("Member", org_id=org.id.value, username=member.username)
        for answered in (member.call("GetOrgUser").org, member.call("GetOrgUser", username=person.username).org):
            assert (answered.legal_person_name.value, answered.legal_person_phone.value) == ("司***", "087*****4321")
        listed = {one.username.value: one for one in person.call("ListOrgMember", org_id=org.id.value).users}
        assert listed[person.username].phone.value == PHONE
        other = listed[member.username]
        assert other.phone.value == f"{member.phone[:3]}****{member.phone[-4:]}"
        assert not other.HasField("realname")
        assert not other.HasField("idcard")
        assert not other.HasField("email")
        # What is shown may be sent back unchanged; anything else is refused without repeating it.
        person.call("UpdateUser", user={"phone": PHONE, "realname": REALNAME, "idcard": NUMBER})
        login = ("--phone", "13700000007", "--password", PASSWORD)
        assert node.command("admin", "create", *login, "--data-dir", str(data_dir)).returncode == 0
        token = node.client.call("Token", phone=login[1], password=PASSWORD).token
        change = {"username": person.username, "nickname": "m"}
        seen = node.client.with_token(token).call("UpdateUser", user=change).user
        assert seen.phone.value == "139****4321"
        assert not seen.HasField("realname")


def copied(run: Run, tmp_path: Path) -> Path:
    data_dir = tmp_path / "data"
    shutil.copytree(run.data_dir, data_dir)
    return data_dir


def logged_in(node: RunningNode) -> Person:
    token = node.client.call("Token", phone=PHONE, password=PASSWORD).token
    client = node.client.with_token(token)
    return Person(client.call("Profile").user.username.value, PHONE, client)


def vtrace(*args: str) -> Result:
    return CliRunner().invoke(main, list(args))


def test_an_export_has_all_that_is_known(run: Run) -> None:
    done = vtrace("user", "export", run.person.username, "--data-dir", str(run.data_dir))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["person"] == {"phone": PHONE, "email": EMAIL, "realname": REALNAME, "resident_id": NUMBER}
    (account,) = told["account"]
    assert (account["username"], account["role"], account["deleted"]) == (run.person.username, "boss", False)
    (org,) = told["orgs_owned"]
    assert org["legal_representative"] == {"name": LEGAL_NAME, "phone": LEGAL_PHONE}
    kinds = [(one["circ_type"], one["status"], one["private"], one["goods_ids"]) for one in told["circs_operated"]]
    assert kinds == [
        ("produce", "success", False, [run.goods_id]),
        ("process", "success", True, [run.goods_id]),
        ("process", "success", False, [run.goods_id]),
    ]
    assert json.loads(told["circs_operated"][1]["form"]) == FORM
    assert told["circs_received"] == []
    assert [one["id"] for one in told["goods_made"]] == [run.goods_id]
    assert re.fullmatch(r"0x[0-9a-fA-F]{40}", told["actor"][0]["account"])
    assert PASSWORD not in done.stdout
    assert "argon2" not in done.stdout
    unknown = vtrace("user", "export", "nobody", "--data-dir", str(run.data_dir))
    assert (unknown.exit_code, unknown.output) == (1, "Error: USERNAME nobody is not known here\n")


def test_a_private_form_is_never_published(run: Run) -> None:
    published = b"".join(path.read_bytes() for path in (run.data_dir / "files").rglob("*") if path.is_file())
    assert open_in(published, tuple(FORM.values())) == []
    assert OPEN_FORM_TEXT.encode() in published


def audit(node: RunningNode, *args: str) -> Any:
    named = ("--node", node.ready["grpc"], "--rpc", node.rpc_url, "--contract", node.ready["contract"], "--all")
    return node.command("audit", *named, *args)


def test_an_erased_person_is_forgotten_and_history_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PRAGMAS, "secure_delete", 0)  # as most builds of SQLite have it
    data_dir = copied(run, tmp_path)
    exported = vtrace("forms", "export", "--data-dir", str(data_dir)).stdout
    (tmp_path / "forms.jsonl").write_text(exported)
    assert [json.loads(line).get("private") for line in exported.splitlines()] == [None, True, None]
    erase = ("user", "erase", run.person.username, "--yes", "--data-dir", str(data_dir))
    with running(data_dir) as node:
        assert "another node runs on it" in vtrace(*erase).output
        before = shown(node, run.goods_id)
        token = logged_in(node).client.token
    assert [one["private"] for one in before] == [False, True, False]
    done = vtrace(*erase)
    assert (done.exit_code, done.stdout) == (
        0,
        f"{run.person.username} is erased; private forms forgotten: 1\n",
    )
    assert vtrace(*erase).exit_code == 0
    gone = (*TOLD, *FORM.values(), before[1]["fromValue"])
    salt = base64.b64decode(before[1]["salt"])
    assert open_files(data_dir, gone) == []
    assert not [path for path in data_dir.rglob("*") if path.is_file() and salt in path.read_bytes()]
    told = json.loads(vtrace("user", "export", run.person.username, "--data-dir", str(data_dir)).stdout)
    assert set(told["person"].values()) == {""}
    assert told["account"][0]["deleted"]

    with running(data_dir) as node:
        after = shown(node, run.goods_id)
        assert [one["erased"] for one in after] == [False, True, False]
        assert "fromValue" not in after[1]
        assert after[1]["salt"] == ""
        for one, other in zip(before, after, strict=True):
            kept = ("operator", "transId", "txHash", "times", "recordedAt", "circType")
            kept = tuple(name for name in kept if name in one)
            assert {name: one[name] for name in kept} == {name: other[name] for name in kept}
        assert (after[0], after[2]) == (before[0], before[2])
        audited = audit(node)
        assert (audited.returncode, audited.stdout.splitlines()[-1]) == (
            0,
            "audit: 1 goods, 3 circs, 0 pending, 0 differences",
        )
        assert "forgotten, as their operators' private data" in audited.stdout
        assert json.loads(audit(node, "--json").stdout)["checked"]["forgotten_forms"] == 1
        page = httpx.get(_page(node, run.goods_id)).text
        assert "forgotten at the wish of whoever recorded them" in page or "删除" in page
        named = ("--node", node.ready["grpc"], "--rpc", node.rpc_url, "--contract", node.ready["contract"])
        proof = node.command("proof", "make", str(run.goods_id), *named)
        assert proof.returncode != 0
        assert "its form was forgotten" in proof.stderr
        with pytest.raises(Refusal):
            node.client.with_token(token).call("Profile")
        with pytest.raises(Refusal, match="phone or password is wrong"):
            logged_in(node)
        node.client.call("Register", phone=PHONE, nickname="again", passwd=PASSWORD)

    told = json.loads(vtrace("user", "export", run.person.username, "--data-dir", str(data_dir)).stdout)
    assert told["actor"][0]["rights"] == 0  # taken when the node started

    checked = vtrace("reindex", "--data-dir", str(data_dir), "--check")
    assert (checked.exit_code, checked.stdout.splitlines()[-1][-15:]) == (0, ": 0 differences"), checked.output
    rebuilt = vtrace("reindex", "--data-dir", str(data_dir), "--forms", str(tmp_path / "forms.jsonl"))
    assert rebuilt.exit_code == 0, rebuilt.output
    assert "private forms that were forgotten on purpose, and stay so: 1" in rebuilt.stdout
    assert open_files(data_dir, (*FORM.values(),)) == []
    with running(data_dir) as node:
        assert shown(node, run.goods_id) == after
        token = node.client.call("Token", phone=PHONE, password=PASSWORD).token
        assert node.client.with_token(token).call("Profile").user.nickname.value == "again"


def test_a_mark_outlives_the_index(run: Run, tmp_path: Path) -> None:
    """Without the old index the export still says which forms are private, so that they can be forgotten later."""
    data_dir = copied(run, tmp_path)
    export = tmp_path / "forms.jsonl"
    export.write_text(vtrace("forms", "export", "--data-dir", str(data_dir)).stdout)
    with closing(sqlite3.connect(data_dir / "index.sqlite3")) as index, index:
        index.execute("DELETE FROM circ_goods")
        index.execute("DELETE FROM circ")
    done = vtrace("reindex", "--data-dir", str(data_dir), "--forms", str(export))
    assert done.exit_code == 0, done.output
    with closing(sqlite3.connect(data_dir / "index.sqlite3")) as index:
        assert index.execute("SELECT private FROM circ ORDER BY id").fetchall() == [(None,), (1,), (None,)]


def test_a_kill_in_an_erasure_leaves_all_or_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from node.store import subject, unsealed

    data_dir = copied(run, tmp_path)
    erase = ("user", "erase", run.person.username, "--yes", "--data-dir", str(data_dir))

    class Killed(BaseException):
        """The process ends here."""

    def kill(*_: object) -> None:
        raise Killed

    for module, name in ((subject, "forget_account"), (unsealed, "wipe")):
        with monkeypatch.context() as patched, suppress(Killed):
            patched.setattr(module, name, kill)
            CliRunner().invoke(main, list(erase), catch_exceptions=False)
        told = json.loads(vtrace("user", "export", run.person.username, "--data-dir", str(data_dir)).stdout)
        assert (told["person"]["phone"] == PHONE) == (name == "forget_account")
    # The export was a start: what was due to be wiped is.
    assert open_files(data_dir, (*TOLD, *FORM.values())) == []


def test_recording_opens_nothing_personal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = Seal.open

    def noting(seal: Seal, name: str, sealed: bytes) -> bytes:
        opened.append(name)
        return real(seal, name, sealed)

    with started(Config(data_dir=tmp_path / "d", grpc="127.0.0.1:0", http="127.0.0.1:0")) as node:
        maker = people.maker(node.client)
        (goods_id,) = maker.goods(1)
        carrier = people.transporter(node.client)
        monkeypatch.setattr(Seal, "open", noting)
        monkeypatch.setattr(Seal, "index", lambda *_: pytest.fail("a phone was looked up"))
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=3, to=carrier.username)
        people.history(node.client, goods_id)
        assert [name for name in opened if name.startswith(("person", "org"))] == []
        maker.boss.call("Profile")
        assert [name for name in opened if name.startswith("person")] != []
