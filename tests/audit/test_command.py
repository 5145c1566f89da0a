"""``vtrace audit`` as a sceptic runs it: against any node, by one endpoint or several, for people or for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from node.chain import contract, signer
from node.chain.rpc import HttpRpc
from node.cli import main
from node.domain.model import Rights
from tests.audit.fake_node import FakeNode, showing
from tests.audit.world import FORM, PROCESS, PRODUCE, TRANSFER, View, World
from tests.chain.servers import anvil, fund


@dataclass
class Audited:
    """A node on a network; ``view`` is what it shows."""

    world: World
    node: FakeNode
    url: str
    view: View

    @property
    def other_url(self) -> str:
        """The same endpoint by another name."""
        return self.url.replace("127.0.0.1", "localhost")

    def run(self, *args: str, rpcs: tuple[str, ...] = (), address: str = "") -> Result:
        self.node.answer = showing(self.view)
        named = [part for rpc in rpcs or (self.url,) for part in ("--rpc", rpc)]
        contract_address = address or self.world.address
        return CliRunner().invoke(
            main, ["audit", "--node", self.node.address, *named, "--contract", contract_address, *args]
        )

    def report(self, *args: str, code: int, rpcs: tuple[str, ...] = (), address: str = "") -> dict[str, Any]:
        """The JSON report, which must be all of stdout."""
        result = self.run(*args, "--json", rpcs=rpcs, address=address)
        assert result.exit_code == code, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        assert found["exit_code"] == code
        assert (found["format"], found["version"]) == ("vtrace-audit-report", 1)
        return found


@pytest.fixture(scope="module")
def network() -> Iterator[tuple[World, str]]:
    key = signer.new_key()
    with anvil() as url, closing(HttpRpc(url)) as rpc:
        fund(rpc, signer.address_of(key))
        made = World(rpc, key, fee_per_gas=10**10)
        made.register("coop", Rights.CIRCULATE | Rights.PRODUCE)
        made.register("exporter", Rights.CIRCULATE)
        made.circulate([1, 2], PRODUCE, "coop", form=FORM.to_bytes())
        made.circulate([1], PROCESS, "coop", form=b"{}")
        assert made.circulate([2], TRANSFER, "exporter", "coop").status == "failed"
        yield made, url


@pytest.fixture
def audited(network: tuple[World, str]) -> Iterator[Audited]:
    world, url = network
    node = FakeNode()
    yield Audited(world, node, url, world.view.copy())
    node.stop()


def test_the_report_says_what_was_trusted_and_checked(audited: Audited) -> None:
    world = audited.world
    head, genesis = world.chain.head(), world.chain.block(0)
    assert genesis is not None
    found = audited.report("--all", code=0, rpcs=(audited.url, audited.other_url))
    assert found["trusted"] == {
        "rpc": [f"endpoint 1 ({audited.url})", f"endpoint 2 ({audited.other_url})"],
        "chain_id": world.chain_id,
        "genesis": genesis.hash,
        "contract": world.address,
        "code_hash": contract.code_hash(world.chain.code(world.address)),
        "block": {"number": head.number, "hash": head.hash},
    }
    assert found["checked"] == {
        "goods": 2,
        "circs": 3,
        "pending": 0,
        "replayed_circs": 2,
        "unproven_trans_ids": 0,
        "forgotten_forms": 0,
        "goods_not_on_chain": [],
        "files": None,
        "predictions": None,
        "callers": 2,
    }
    assert (found["findings"], found["unchecked"], found["notes"]) == ([], [], [])
    assert set(audited.node.tokens) == {None}


def test_findings_name_goods_circ_step_and_lie(audited: Audited) -> None:
    audited.view.change(1, 1, form=b'{"other": "\x1b[2J"}')
    audited.view.show(2, audited.view.circs(2)[:1])
    form, hidden = audited.report("--all", code=1)["findings"]
    assert form == {
        "goods_id": 1,
        "trans_id": audited.view.circs(1)[1].trans_id,
        "step": 6,
        "lie": "form",
        "detail": f"circ {form['trans_id'][:14]}… (process): form and salt differ from their digest on the chain",
    }
    assert (hidden["goods_id"], hidden["trans_id"], hidden["step"], hidden["lie"]) == (2, None, 11, "left-out")
    audited.view.change(1, 1, trans_id="\x1b[2J" * 1_000)
    found = audited.report("--goods", "1", code=1)["findings"]
    assert {each["trans_id"] for each in found} == {None}
    assert all(each["detail"].isprintable() and len(each["detail"]) < 1_000 for each in found)


def test_what_could_not_be_checked_is_told(audited: Audited) -> None:
    found = audited.report("--goods", "1", "--goods", "500", code=2)
    assert found["unchecked"] == ["goods 500: neither the node nor the contract knows them: is the id right?"]
    assert found["checked"]["goods"] == 1
    assert found["checked"]["replayed_circs"] is None


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--chain-id", "7"), "want chain 7"),
        (("--code-hash", "0x" + "00" * 32), "want 0x" + "00" * 32),
        (("--code-hash", "latest"), "want 0x and 64 hex digits"),
        (("--files", "ftp://h"), "--files ftp://h: want an http"),
        (("--checkpoint", "/nowhere/at/all"), "--checkpoint /nowhere/at/all: its folder is not there"),
        (("--token-file", "/nowhere/at/all"), "--token-file /nowhere/at/all: No such file"),
    ],
)
def test_an_audit_that_can_not_be_done_is_a_report_too(audited: Audited, args: tuple[str, ...], words: str) -> None:
    found = audited.report("--all", *args, code=2)
    assert (found["trusted"], found["checked"], found["findings"]) == (None, None, [])
    (line,) = found["unchecked"]
    assert words in line
    result = audited.run("--all", *args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"audit: could not check: {line}\n"


def test_a_checkpoint_is_for_a_whole_ledger(audited: Audited, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    assert audited.report("--all", "--checkpoint", str(path), code=0)["checked"]["replayed_circs"] == 2
    assert path.exists()
    assert audited.report("--all", "--checkpoint", str(path), code=0)["checked"]["replayed_circs"] == 2
    result = audited.run("--goods", "1", "--checkpoint", str(path))
    assert result.exit_code == 2
    assert "it needs --all" in result.stderr


def test_endpoints_of_two_chains_are_both_named(audited: Audited) -> None:
    with anvil("--chain-id", "4242") as other:
        (line,) = audited.report("--all", code=2, rpcs=(audited.url, other))["unchecked"]
        assert line == (
            f"the endpoints disagree on the chain id: endpoint 1 ({audited.url}) says {audited.world.chain_id}, "
            f"endpoint 2 ({other}) says 4242"
        )
        (alone,) = audited.report("--all", code=2, rpcs=(other,))["unchecked"]
        assert alone.startswith(f"there is no contract at {audited.world.address} on chain 4242: does the endpoint")


def test_one_endpoint_twice_is_no_second_witness(audited: Audited) -> None:
    (line,) = audited.report("--all", code=2, rpcs=(audited.url, audited.url))["unchecked"]
    assert line == f"--rpc {audited.url}: is given twice, which makes no second witness"


def test_the_second_caller_shows_its_token(audited: Audited, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("abc.def\n")
    audited.report("--goods", "1", "--token-file", str(path), code=0)
    assert audited.node.tokens == [None, "Bearer abc.def"]


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff\xfe", b"x" * 9_000, b"a\x00b"])
def test_a_token_that_is_none_is_refused(audited: Audited, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    (line,) = audited.report("--goods", "1", "--token-file", str(path), code=2)["unchecked"]
    assert line == f"--token-file {path}: want one token of at most 8192 bytes, nothing else"


def test_lines_are_as_they_were(audited: Audited) -> None:
    audited.view.change(1, 1, form=b"")
    result = audited.run("--all")
    subject, difference, summary = result.stdout.splitlines()
    assert result.exit_code == 1
    assert subject.startswith(
        f"audit of chain {audited.world.chain_id}, contract {audited.world.address}, code hash 0x"
    )
    assert difference.startswith("goods 1: circ 0x")
    assert summary == "audit: 2 goods, 3 circs, 0 pending, 1 differences"
