"""A replay that is kept: what is read once is not read again, and nothing that doesn't fit is taken up."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from node.chain.rpc import Chain
from node.chain.transport import SERVER_ERROR, RpcError
from node.domain.model import Rights
from node.flow.audit import AuditImpossible, Auditor, Report, replay
from tests.audit.world import PROCESS, TRANSFER, Tampered, World


def audited(world: World, path: Path, chain: Chain | None = None) -> Report:
    return Auditor(world.view, chain or world.chain, world.address, checkpoint=path).audit_all()


class Counting(Tampered):
    """A chain that counts the blocks whose logs it was asked for."""

    def __init__(self, world: World) -> None:
        self.blocks = 0
        super().__init__(world.rpc, self._count)

    def _count(self, method: str, params: list[Any], answer: Any) -> Any:
        if method == "eth_getLogs":
            self.blocks += int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1
        return answer


def test_an_audit_goes_on_where_the_last_one_stood(own: World, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    own.change_key("exporter")
    own.make_sovereign("roaster")
    own.set_rights("grader", Rights.CIRCULATE)
    failed = own.circulate([1], TRANSFER, "exporter", "roaster")
    assert failed.status == "failed"
    first = audited(own, path)
    assert (first.summary, first.replayed) == ("audit: 2 goods, 2 circs, 0 pending, 0 differences", 1)
    own.circulate([1], TRANSFER, "coop", "exporter")
    own.circulate([1], PROCESS, "exporter")
    rpc = Counting(own)
    second = audited(own, path, Chain(rpc))
    assert (second.summary, second.replayed) == ("audit: 2 goods, 4 circs, 0 pending, 0 differences", 3)
    assert rpc.blocks == 2
    # What is kept serves to find lies as what was just read does.
    own.view.show(1, [circ for circ in own.view.circs(1) if circ.trans_id != failed.trans_id])
    own.view.change(2, 0, form=b"{}")
    lines = [each.detail for each in audited(own, path).differences]
    assert len(lines) == 2
    assert lines == [each.detail for each in Auditor(own.view, own.chain, own.address).audit_all().differences]


def test_a_replay_that_was_interrupted_goes_on(own: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "checkpoint"
    for _ in range(6):
        own.circulate([1], PROCESS, "coop")
    monkeypatch.setattr(replay, "BLOCKS_FIRST", 3)
    monkeypatch.setattr(replay, "BLOCKS_MAX", 3)
    answered = 3

    def away(method: str, _: list[Any], answer: Any) -> Any:
        nonlocal answered
        if method == "eth_getLogs":
            answered -= 1
            if answered < 0:
                return RpcError(SERVER_ERROR, "overloaded")
        return answer

    with pytest.raises(AuditImpossible, match="overloaded"):
        audited(own, path, Chain(Tampered(own.rpc, away)))
    rpc = Counting(own)
    assert audited(own, path, Chain(rpc)).summary == "audit: 2 goods, 8 circs, 0 pending, 0 differences"
    assert rpc.blocks == own.chain.head().number + 1 - 9


def test_long_replays_are_kept_on_the_way(own: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that what ends the process at once costs little."""
    monkeypatch.setattr(replay, "BLOCKS_FIRST", 1)
    monkeypatch.setattr(replay, "BLOCKS_MAX", 1)
    monkeypatch.setattr(replay, "SAVE_EVERY_CIRCS", 2)
    for _ in range(6):
        own.circulate([1], PROCESS, "coop")
    path, kept = tmp_path / "checkpoint", set()

    def tell(_done: int, _total: int) -> None:
        if path.exists():
            kept.add(_content(path)["block"])

    Auditor(own.view, own.chain, own.address, checkpoint=path).audit_all(replayed=tell)
    head = own.chain.head().number
    assert kept == {head - 5, head - 3, head - 1, head}


def _content(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return found


def _write(path: Path, content: Any) -> None:
    path.write_bytes(gzip.compress(json.dumps(content).encode()))


def test_a_fork_behind_a_checkpoint_is_noticed(own: World, tmp_path: Path) -> None:
    """The chain is read anew, and the report says so."""
    path = tmp_path / "checkpoint"
    audited(own, path)
    stood = _content(path)
    stood["block_hash"] = "0x" + "55" * 32
    stood["events"] = stood["events"][:-1]
    _write(path, stood)
    report = audited(own, path)
    assert report.summary == "audit: 2 goods, 2 circs, 0 pending, 0 differences"
    (note,) = report.notes
    assert note.startswith(f"checkpoint {path}: the chain no longer has its block {stood['block']} 0x5555")
    assert f"note: {note}" in report.lines
    assert report.to_json()["notes"] == [note]
    assert audited(own, path).notes == (), "the new one stands on a block of the chain"


def test_a_chain_that_is_shorter_than_a_checkpoint(own: World, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    audited(own, path)
    _write(path, _content(path) | {"block": 10**6})
    assert "the chain no longer has its block 1000000" in audited(own, path).notes[0]


def _change(**changes: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda content: content | changes


def _event(index: int, place: int, value: Any) -> Callable[[dict[str, Any]], Any]:
    def change(content: dict[str, Any]) -> Any:
        content["events"][index][place] = value
        return content

    return change


def _without_an_event(content: dict[str, Any]) -> Any:
    """The second circ no longer follows."""
    return content | {"events": [*content["events"][:-2], content["events"][-1]]}


def _twice(content: dict[str, Any]) -> Any:
    return content | {"events": [*content["events"], content["events"][-1]]}


def _nothing(content: dict[str, Any]) -> Any:
    return content | {"events": [[]]}


DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another format": (_change(format="zip"), "its format is 'zip', want 'vtrace-audit-checkpoint'"),
    "another version": (_change(version=2), "its version is '2', want 1"),
    "another chain": (_change(chain_id=1), "its chain_id is '1', want"),
    "another contract": (_change(contract="0x" + "ab" * 20), "its contract is '0xabab"),
    "other code": (_change(code_hash="0x00"), "its code_hash is '0x00', want '0x"),
    "no block": (_change(block=None), "it is damaged"),
    "no events": (_change(events=None), "it is damaged"),
    "an event without content": (_nothing, "it is damaged"),
    "an event left out": (_without_an_event, r"it is damaged.*NotHolder\(.* is one of them missing"),
    "an event twice": (_twice, "it is damaged.*out of order"),
    "an event of a later block": (_event(-1, 0, 10**6), "it is damaged.*block 1000000 is out of order"),
    "an event of no kind": (_event(-1, 4, "gift"), "'gift' is no kind of event"),
    "no number": (_event(-1, 0, "3"), "'3' is no whole number"),
    "an array": (lambda _: [], "it is damaged"),
    "a text": (lambda _: "text", "it is damaged"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_checkpoint_that_does_not_fit_is_refused(own: World, tmp_path: Path, name: str) -> None:
    change, words = DAMAGE[name]
    path = tmp_path / "checkpoint"
    own.circulate([1], PROCESS, "coop")
    audited(own, path)
    _write(path, change(_content(path)))
    with pytest.raises(AuditImpossible, match=words) as caught:
        audited(own, path)
    assert str(caught.value).startswith(f"--checkpoint {path}: ")


@pytest.mark.parametrize("keep", [0, 1, 30, -1])
def test_a_checkpoint_that_was_cut_short_is_refused(own: World, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "checkpoint"
    audited(own, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(AuditImpossible, match=f"--checkpoint {path}: "):
        audited(own, path)


def test_a_checkpoint_is_written_whole_or_not_at_all(
    own: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "checkpoint"
    audited(own, path)
    before = path.read_bytes()
    own.circulate([1], PROCESS, "coop")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AuditImpossible, match=f"--checkpoint {path}: No space left on device"):
        audited(own, path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir() if "checkpoint" in each.name] == ["checkpoint"]


def test_a_folder_that_is_not_there_is_told_at_once(own: World, tmp_path: Path) -> None:
    rpc = Tampered(own.rpc)
    path = tmp_path / "none" / "checkpoint"
    with pytest.raises(AuditImpossible, match=f"--checkpoint {path}: its folder is not there"):
        Auditor(own.view, Chain(rpc), own.address, checkpoint=path)
    assert "eth_getLogs" not in [method for request in rpc.requests for method in request]


def test_an_event_that_was_changed_and_still_follows_is_trusted(own: World, tmp_path: Path) -> None:
    """A checkpoint is only as trustworthy as its file: so docs/audit.md says."""
    path = tmp_path / "checkpoint"
    own.circulate([1], PROCESS, "coop")
    audited(own, path)
    _write(path, _event(-1, 8, "00" * 32)(_content(path)))
    (found, *_) = audited(own, path).differences
    assert "asked for another circ than the contract's event says" in found.detail, "which is no lie of the node's"
    path.unlink()
    assert replace(audited(own, path), notes=()).differences == ()
