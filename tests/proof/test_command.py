"""``vtrace proof``: from a running node to a file, and from the file alone to its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node.cli import main
from node.flow.proof import read, verify, write
from tests.proof.conftest import Given
from tests.support import people
from tests.support.node import RunningNode

NOBODY = "127.0.0.1:1"


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["proof", *args], env={"COLUMNS": "160"})


@pytest.fixture
def file(given: Given, tmp_path: Path) -> Path:
    path = tmp_path / "goods-17.vtproof.json"
    path.write_bytes(write(given.proof))
    return path


def _hashes(given: Given) -> list[str]:
    return [word for each in given.hashes for word in ("--block-hash", each)]


def test_a_node_gives_a_proof_that_outlives_it(node: RunningNode, tmp_path: Path) -> None:
    maker = people.maker(node.client)
    (goods_id,) = maker.goods(1)
    maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1, form_value=b'{"moisture_percent": 11.2}')
    people.settled(node.client, goods_id)
    asked = ("--node", node.ready["grpc"], "--rpc", node.rpc_url, "--contract", node.ready["contract"])
    short, long, options_first = (
        run(str(goods_id), *asked),
        run("make", str(goods_id), *asked),
        run(*asked, str(goods_id)),
    )
    assert (short.exit_code, short.stderr) == (0, "")
    assert [long.stdout, options_first.stdout] == [short.stdout] * 2
    proven = verify(read(short.stdout_bytes))
    assert [circ.form for circ in proven.circs][1] == b'{"moisture_percent": 11.2}'
    assert [circ.operator for circ in proven.circs] == [maker.boss.username] * 2
    file = tmp_path / "proof.json"
    file.write_bytes(short.stdout_bytes)
    nothing = run("verify", str(file))
    assert nothing.exit_code == 2
    hashes = [line.split()[-1] for line in nothing.stdout.splitlines() if line.startswith("to be trusted: block ")]
    known = [word for each in hashes for word in ("--block-hash", each)]
    assert known
    given = node.command("proof", "verify", str(file), *known, "--contract", node.ready["contract"])
    assert (given.returncode, given.stderr) == (0, "")
    assert given.stdout.splitlines()[-1].startswith("proof: verified, up to block ")
    asking = run("verify", str(file), "--rpc", node.rpc_url)
    assert (asking.exit_code, asking.stdout) == (0, given.stdout)


def test_what_is_proven_is_printed(file: Path, given: Given) -> None:
    result = run("verify", str(file), *_hashes(given))
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == f"proof of goods 17, chain {given.proof.chain_id}, contract {given.proof.contract}"
    assert lines[1].startswith("0  produce  coop → coop  block ")
    assert '   {"备注": "晾晒\\x01", "moisture_percent": 11.2}' in lines
    assert "held by roaster (actor 3) after 6 circs" in lines
    assert sum("the contract vouches for the signature" in line for line in lines) == 1
    assert not any("to be trusted" in line for line in lines)


def test_nothing_is_trusted_unasked(file: Path, given: Given) -> None:
    result = run("verify", str(file))
    assert result.exit_code == 2
    last = [block for block in verify(given.proof).blocks if not block.follows]
    assert [f"to be trusted: block {block.number} {block.hash}" for block in last] == [
        line for line in result.output.splitlines() if line.startswith("to be trusted")
    ]


def test_what_is_wrong_is_said(file: Path, given: Given) -> None:
    stranger = run("verify", str(file), "--block-hash", "0x" + "ab" * 32)
    assert (stranger.exit_code, stranger.output) == (
        1,
        f"proof: wrong: no block of the file has the hash 0x{'ab' * 32}\n",
    )
    other = run("verify", str(file), *_hashes(given), "--contract", "0x" + "12" * 20)
    assert other.exit_code == 1
    assert "want 0x1212" in other.output
    file.write_bytes(file.read_bytes().replace(b"cup_score", b"cup_scare"))
    changed = run("verify", str(file), *_hashes(given))
    assert (changed.exit_code, changed.output) == (
        1,
        "proof: wrong: checksum: is not the file's: it was changed, or damaged, after it was made\n",
    )


def test_what_can_not_be_checked_is_no_fault_of_the_proof(file: Path, given: Given) -> None:
    away = run("verify", str(file), "--rpc", f"http://{NOBODY}")
    assert away.exit_code == 2
    assert "could not check: the chain can't be asked" in away.output
    # What was given needs nobody.
    assert run("verify", str(file), *_hashes(given), "--rpc", f"http://{NOBODY}").exit_code == 0
    assert run("verify", str(file), "--rpc", "nonsense").exit_code == 2


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("verify", "FILE", "--block-hash", "0x12"), 2, "want 0x and 64 hex digits"),
        (("verify", "FILE", "--contract", "0x12"), 1, "want an address"),
        (("verify", "no-such-file"), 2, "no-such-file"),
        (("verify",), 2, "Missing argument"),
        (("17",), 2, "Missing option"),
        (("seventeen",), 2, "is not a valid integer"),
        (("0", "--node", NOBODY, "--rpc", "http://x", "--contract", "0x" + "1" * 40), 1, "want an id from 1"),
        (("1", "--node", "x", "--rpc", "http://x", "--contract", "0x" + "1" * 40), 1, "want HOST:PORT"),
        (("1", "--node", NOBODY, "--rpc", "x", "--contract", "0x" + "1" * 40), 1, "--rpc x"),
        (("1", "--node", NOBODY, "--rpc", "http://x", "--contract", "1"), 1, "want an address"),
        (("1", "--node", NOBODY, "--rpc", f"http://{NOBODY}", "--contract", "0x" + "1" * 40), 1, "can't be reached"),
    ],
)
def test_wrong_arguments(file: Path, args: tuple[str, ...], code: int, said: str) -> None:
    result = run(*(str(file) if each == "FILE" else each for each in args))
    assert result.exit_code == code
    assert said in result.output


def test_help() -> None:
    for args in ((), ("-h",), ("--help",)):
        shown = run(*args).output
        assert "make" in shown
        assert "verify" in shown
    assert "GOODS_ID" in run("make", "--help").output
