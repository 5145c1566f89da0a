"""The command: its help, its options in the environment, its exit codes, and what it says when it can't."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from node.cli import main
from tests.support import people
from tests.support.node import STOP_SECONDS_MAX, RunningNode, eventually, running, vtrace
from tests.support.wire_client import WireClient


def _commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, *path, name)
        else:
            yield (*path, name), command


COMMANDS = dict(_commands(main))
OPTIONS = [
    pytest.param(command, option, id=f"{' '.join(path)} {option.opts[0]}")
    for path, command in COMMANDS.items()
    for option in command.params
    if isinstance(option, click.Option)
]


def test_every_command_is_there() -> None:
    assert COMMANDS.keys() >= {
        ("serve",),
        ("demo",),
        ("audit",),
        ("proof", "make"),
        ("proof", "verify"),
        ("admin", "create"),
        ("admin", "grant"),
        ("files", "verify"),
        ("forms", "export"),
        ("backup",),
        ("restore",),
        ("reindex",),
        ("keys", "change-master"),
        ("user", "export"),
        ("user", "erase"),
        ("epcis", "export"),
        ("epcis", "import"),
        ("labels",),
        ("log", "show"),
        ("log", "verify"),
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_lists_every_option_and_an_example(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(main, [*path, "--help"], env={"COLUMNS": "160"})
    assert result.exit_code == 0
    assert COMMANDS[path].help
    assert f"Example: vtrace {' '.join(path)}" in " ".join(result.output.split())
    for option in COMMANDS[path].params:
        if isinstance(option, click.Option):
            assert option.help, option.name
            assert option.opts[0] in result.output


def test_h_is_help_and_version_is_known() -> None:
    assert "Usage" in CliRunner().invoke(main, ["serve", "-h"]).output
    assert CliRunner().invoke(main, ["--version"]).output.startswith("vtrace, version ")


SAMPLES = {
    "phone": "13800138000",
    "upload_max": "1048576",
    "as_json": "1",
    "signers": "2",
    "workers": "2",
    "bump_after": "2.5",
    "max_fee": "1.5",
    "backlog_max": "9",
    "confirmations": "7",
    "goods_ids": "3 4",
    "block_hashes": "0x1 0x2",
    "everything": "1",
    "predictions": "1",
    "publish_forms": "1",
    "webhooks_local": "1",
    "check": "1",
    "yes": "1",
    "private": "1",
    "chain_id": "9",
    "late_blocks": "8",
    "trusted_proxies": "2",
    "insecure": "1",
    "rate_factor": "2.5",
    "revoke": "1",
    "scan_place_header": "X-Country",
    "pending": "1",
    "epcs": "urn:a:1 urn:a:2",
    "serial_id": "12",
}


CONVERTED = {"max_fee": "1500000000"}
"""What becomes of samples that stand for another value: gwei are wei inside."""


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_every_option_can_stand_in_the_environment(command: click.Command, option: click.Option) -> None:
    """VTRACE_ and the option's name, whatever the command."""
    variable = "VTRACE_" + option.opts[0].removeprefix("--").replace("-", "_").upper()
    value = SAMPLES.get(str(option.name)) or (option.type.choices[0] if isinstance(option.type, click.Choice) else "x")
    seen: dict[str, Any] = {}
    copy = click.Command("copy", params=[option], callback=lambda **given: seen.update(given))
    result = CliRunner().invoke(copy, [], env={variable: value})
    assert result.exit_code == 0, result.output
    value = CONVERTED.get(str(option.name), value)
    words = value.split() if option.multiple else [value]
    told = seen[str(option.name)]
    assert [str(each) for each in (told if option.multiple else [told])] == (["True"] if option.is_flag else words)
    assert variable in command.get_help(click.Context(command, terminal_width=160))


def test_serve_takes_its_options_from_the_environment(tmp_path: Path) -> None:
    given = {"VTRACE_DATA_DIR": str(tmp_path / "d"), "VTRACE_CONFIRMATIONS": "0", "VTRACE_GRPC": "127.0.0.1:0"}
    result = CliRunner().invoke(main, ["serve"], env=given)
    assert (result.exit_code, result.output) == (1, "Error: --confirmations 0: want 1 to 10000\n")
    result = CliRunner().invoke(main, ["serve", "--confirmations", "10001"], env=given)
    assert "10001" in result.output


LONG = "9" * 5_000
BAD_VALUES = [
    ("--grpc", "50051", "want HOST:PORT"),
    ("--grpc", ":50051", "want HOST:PORT"),
    ("--grpc", "127.0.0.1:", "want HOST:PORT"),
    ("--grpc", "127.0.0.1:http", "want HOST:PORT"),
    ("--grpc", "127.0.0.1:65536", "want HOST:PORT"),
    ("--grpc", f"127.0.0.1:{LONG}", "want HOST:PORT"),
    ("--grpc", "127.0.0.1:-1", "want HOST:PORT"),
    ("--http", "127.0.0.1:１", "want HOST:PORT"),
    ("--http", "", "want HOST:PORT"),
    ("--metrics", "9100", "want HOST:PORT"),
    ("--traces", "127.0.0.1:4318", "OpenTelemetry collector"),
    ("--traces", "http://user:secret@127.0.0.1:4318/v1/traces", "without a password"),
    ("--public-rpc", "", "JSON-RPC endpoint"),
    ("--public-rpc", "ws://127.0.0.1:1", "JSON-RPC endpoint"),
    ("--public-rpc", "http://user:secret@127.0.0.1:1", "without a password"),
    ("--public-rpc", "http://127.0.0.1:1/#x", "JSON-RPC endpoint"),
    ("--public-rpc", "http://127.0.0.1:1/ x", "JSON-RPC endpoint"),
    ("--chain", "", "JSON-RPC endpoint"),
    ("--chain", "embeded", "JSON-RPC endpoint"),
    ("--chain", "ftp://127.0.0.1:1", "JSON-RPC endpoint"),
    ("--chain", "http://", "JSON-RPC endpoint"),
    ("--chain", "http://127.0.0.1:99999", "JSON-RPC endpoint"),
    ("--chain", "http://[::1", "JSON-RPC endpoint"),
    ("--chain", "ws://", "JSON-RPC endpoint"),
    ("--chain", "wss://127.0.0.1:0", "JSON-RPC endpoint"),
    ("--chain", "ws://user@127.0.0.1:1", "JSON-RPC endpoint"),
    ("--chain", "ws://127.0.0.1:1/#x", "JSON-RPC endpoint"),
    ("--db", "postgres", "want sqlite, or a URL such as postgresql://user@host/database"),
    ("--db", "mysql://h/d", "want sqlite, or a URL"),
    ("--confirmations", "0", "want 1 to 10000"),
    ("--confirmations", "-3", "want 1 to 10000"),
    ("--confirmations", "10001", "want 1 to 10000"),
    ("--signers", "0", "want 1 to 64"),
    ("--signers", "65", "want 1 to 64"),
    ("--signers", "2", "the embedded chain mines one after the other"),
    ("--bump-after", "0.5", "want 1 second or more"),
    ("--backlog-max", "0", "want 1 or more"),
    ("--scan-place-header", "X Country:", "want the name of a header"),
    ("--trusted-proxies", "-1", "want 0 to 16"),
    ("--trusted-proxies", "17", "want 0 to 16"),
    ("--rate-factor", "-1", "want 0 (no limits) to 1000"),
    ("--rate-factor", "nan", "want 0 (no limits) to 1000"),
    ("--upload-max", "0", "want 1 byte or more"),
    ("--public-url", "trace.example.com", "want an http(s) URL"),
    ("--public-url", "https://trace.example.com/?x", "want an http(s) URL"),
    ("--signer", "127.0.0.1:9000", "want the http(s) URL of a Web3Signer"),
    ("--signer", "", "want the http(s) URL of a Web3Signer"),
    ("--ipfs", "embeded", "want embedded, or http(s)://HOST:PORT"),
    ("--ipfs", "ftp://127.0.0.1:1", "want embedded, or http(s)://HOST:PORT"),
    ("--ipfs", "http://127.0.0.1:5001/api/v0", "want embedded, or http(s)://HOST:PORT"),
    ("--ipfs", "http://127.0.0.1:99999", "want embedded, or http(s)://HOST:PORT"),
]


@pytest.mark.parametrize(("option", "value", "want"), BAD_VALUES)
def test_a_bad_value_is_refused_in_one_line(tmp_path: Path, option: str, value: str, want: str) -> None:
    data_dir = tmp_path / "d"
    result = CliRunner().invoke(main, ["serve", "--data-dir", str(data_dir), f"{option}={value}"])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {option} {value}: ")
    assert want in result.output
    assert result.output.count("\n") == 1
    assert not data_dir.exists()


SECRET_URLS = ["postgresql://u:secret@h/d", "postgresql://h/d?user=u&password=secret"]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_a_password_on_the_command_line_is_refused(tmp_path: Path, url: str) -> None:
    for command in ("serve", "status", "reindex"):
        result = CliRunner().invoke(main, [command, "--data-dir", str(tmp_path / "d"), "--db", url])
        assert result.exit_code == 2
        assert "a password on a command line is seen by everybody" in result.output
        assert "secret" not in result.output
    given = {"VTRACE_DB": f"x{url}", "VTRACE_DATA_DIR": str(tmp_path / "d")}
    faulty = CliRunner().invoke(main, ["serve"], env=given)
    assert (faulty.exit_code, "secret" in faulty.output) == (1, False), faulty.output
    assert not (tmp_path / "d").exists()


def _error(result: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refusal prints, behind the log."""
    assert result.returncode == 1, result.stdout + result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    return line


def _serve(data_dir: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return vtrace("serve", "--data-dir", str(data_dir), "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0", *args)


@pytest.mark.parametrize("option", ["--grpc", "--http"])
def test_an_address_in_use_is_refused(tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert f"{option} {address}: " in _error(_serve(tmp_path / "d", option, address))


def test_a_host_that_nobody_has_is_refused(tmp_path: Path) -> None:
    assert "--http nobody.invalid:0: " in _error(_serve(tmp_path / "d", "--http", "nobody.invalid:0"))
    assert "--grpc nobody.invalid:0: " in _error(_serve(tmp_path / "d", "--grpc", "nobody.invalid:0"))


def _key_file(path: Path, content: str) -> Path:
    path.touch(0o600)
    path.write_text(content)
    return path


@pytest.mark.parametrize("content", ["", "00" * 32, "ff" * 32, "12" * 31, "no key"])
def test_a_signer_key_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    path = _key_file(tmp_path / "signer.key", content)
    result = CliRunner().invoke(main, ["serve", "--data-dir", str(tmp_path / "d"), "--signer-key", str(path)])
    assert (result.exit_code, result.output) == (
        1,
        f"Error: --signer-key {path}: want the 64 hex digits of a private key\n",
    )


def _under_a_file(tmp_path: Path) -> str:
    (tmp_path / "file").touch()
    return str(tmp_path / "file" / "d")


CREATE = ["admin", "create", "--phone", "13800138000", "--password", "a good password"]
COMMAND_LINES: list[Callable[[str], list[str]]] = [
    lambda data_dir: ["serve", "--data-dir", data_dir],
    lambda data_dir: [*CREATE, "--data-dir", data_dir],
]


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_data_directory_that_can_not_be_made_is_refused(tmp_path: Path, line: Callable[[str], list[str]]) -> None:
    data_dir = _under_a_file(tmp_path)
    result = CliRunner().invoke(main, line(data_dir))
    assert (result.exit_code, result.output) == (1, f"Error: --data-dir {data_dir}: Not a directory\n")


def test_a_master_key_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.key"
    for line in COMMAND_LINES:
        result = CliRunner().invoke(main, [*line(str(tmp_path / "d")), "--master-key", str(path)])
        assert (result.exit_code, result.output) == (1, f"Error: master key {path}: No such file or directory\n")


def test_a_role_is_not_given_where_no_node_is(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    result = CliRunner().invoke(main, ["admin", "grant", "u1", "examiner", "--data-dir", str(data_dir)])
    assert result.exit_code == 1
    assert "no node keeps its data there" in result.output
    assert not data_dir.exists()


def test_an_index_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.sqlite3").write_bytes(b"not a database" * 100)
    for line in COMMAND_LINES:
        result = CliRunner().invoke(main, line(str(tmp_path)))
        assert result.exit_code == 1
        assert "it is not an index of VTrace" in result.output
        assert result.output.count("\n") == 1


def test_a_node_says_one_line_and_ends_well(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "node.cli", "serve"]
    given = {"VTRACE_DATA_DIR": str(tmp_path / "d"), "VTRACE_GRPC": "127.0.0.1:0", "VTRACE_HTTP": "127.0.0.1:0"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
        env=os.environ | given,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        ready = json.loads(line)
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=STOP_SECONDS_MAX)
    assert (process.returncode, rest) == (0, "")
    assert list(ready) == ["event", "grpc", "http", "chain_id", "contract"]
    assert ready["event"] == "ready"
    assert not ready["grpc"].endswith(":0")
    assert not ready["http"].endswith(":0")
    assert len(ready["contract"]) == 42


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_waits_for_its_chain_ends_when_it_is_told(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "log"
    with socket.create_server(("127.0.0.1", 0)) as unanswered:
        url = f"http://127.0.0.1:{unanswered.getsockname()[1]}"
    command = [sys.executable, "-m", "node.cli", "serve", "--data-dir", str(tmp_path / "d"), "--chain", url]
    with (
        log.open("wb") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL) as process,
    ):
        eventually(lambda: "for the chain" in log.read_text())
        process.send_signal(number)
        printed, _ = process.communicate(timeout=STOP_SECONDS_MAX)
    assert (process.returncode, printed) == (0, b"")
    assert "Traceback" not in log.read_text()


def test_a_second_node_on_the_same_data_directory_is_refused(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    with running(data_dir) as node:
        assert f"--data-dir {data_dir}: another node runs on it" in _error(_serve(data_dir))
        assert node.client.call("ContractName").contract_name.value == "VTrace"


def _log_in(node: RunningNode, phone: str) -> WireClient:
    return node.client.with_token(node.client.call("Token", phone=phone, password=people.PASSWORD).token)


def _create(data_dir: Path, phone: str) -> subprocess.CompletedProcess[str]:
    return vtrace(
        "admin",
        "create",
        "--data-dir",
        str(data_dir),
        "--phone",
        phone,
        stdin=f"{people.PASSWORD}\n{people.PASSWORD}\n",
    )


def test_an_admin_is_made_before_the_node_and_beside_it(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    first = _create(data_dir, "13900000001")
    assert first.returncode == 0, first.stderr
    with running(data_dir) as node:
        second = _create(data_dir, "13900000002")
        assert second.returncode == 0, second.stderr
        for made, phone in ((first, "13900000001"), (second, "13900000002")):
            user = _log_in(node, phone).call("Profile").user
            assert user.role.value == "admin"
            assert user.username.value == made.stdout.split()[-1]
        again = _create(data_dir, "13900000002")
        assert again.returncode == 1
        assert "a user with this number exists" in again.stderr
        assert "Traceback" not in again.stderr


def test_a_role_is_given_beside_a_node_and_without_one(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"

    def grant(username: str, role: str) -> subprocess.CompletedProcess[str]:
        return vtrace("admin", "grant", username, role, "--data-dir", str(data_dir))

    with running(data_dir) as node:
        maker, judge = people.maker(node.client), people.register(node.client)
        (goods_id,) = maker.goods(1)
        granted = grant(judge.username, "examiner")
        assert (granted.returncode, granted.stdout) == (0, f"{judge.username} is examiner\n"), granted.stderr
        judge.call("CreateCirc", goods_id=goods_id, circ_type=4)
        assert [record.status.value for record in people.settled(node.client, goods_id)] == ["success"] * 2
        assert "USERNAME nobody is not known here" in _error(grant("nobody", "examiner"))
        assert "role: king, want one of" in _error(grant(judge.username, "king"))
        assert "out of org" in _error(grant(maker.boss.username, "normal"))
    assert grant(judge.username, "normal").stdout == f"{judge.username} is normal\n"
    with running(data_dir) as node:
        client = _log_in(node, judge.phone)
        assert client.call("Profile").user.role.value == "normal"


def test_a_fresh_data_directory_is_made_once_by_whoever_comes_first(tmp_path: Path) -> None:
    data_dir = tmp_path / "d"
    phones = [f"1390000001{number}" for number in range(4)]
    with ThreadPoolExecutor(len(phones)) as callers:
        made = list(callers.map(lambda phone: _create(data_dir, phone), phones))
    assert [result.returncode for result in made] == [0] * len(phones), [result.stderr for result in made]
    assert len({result.stdout.split()[-1] for result in made}) == len(phones)


@pytest.mark.parametrize("value", ["", "0x1", "1.5gwei", "-1", "1.2345678901", "1" * 13])
def test_fees_that_are_none_are_refused(value: str) -> None:
    result = CliRunner().invoke(main, ["serve", "--max-fee", value])
    assert result.exit_code == 2
    assert "want gwei such as 30 or 0.5" in result.output
