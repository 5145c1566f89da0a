"""The master key: from a file, the environment or a command; the wrong one; another one in its place, whatever dies."""

from __future__ import annotations

import base64
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from node import unlocking
from node.cli import main
from node.config import Config, GivenKey, KeyCommand, KeySource
from node.domain.records import Personal
from node.domain.roles import Role
from node.errors import SetupError
from node.opening import key_in, open_store
from node.store import keys, master_key, people, personal, sealed
from node.store.db import Store
from node.store.master_key import from_command, parsed
from node.store.seal import Seal

KEY = bytes(range(32))
PHONE = "13800138000"
TEXTS = [KEY.hex(), KEY.hex().upper(), f" {KEY.hex()}\n", base64.b64encode(KEY).decode()]


@pytest.mark.parametrize("text", [*TEXTS, base64.urlsafe_b64encode(b"\xfb" * 32).decode()])
def test_a_key_is_written_in_hex_or_base64(text: str) -> None:
    assert parsed(text.encode()) in (KEY, b"\xfb" * 32)


@pytest.mark.parametrize("text", ["", KEY.hex()[:-2], KEY.hex() + "00", "zz" * 32, base64.b64encode(KEY[1:]).decode()])
def test_anything_else_is_none(text: str) -> None:
    assert parsed(text.encode()) is None


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_a_command_prints_the_key() -> None:
    assert from_command(python(f"print('{KEY.hex()}')")) == KEY
    assert from_command(("echo", TEXTS[-1])) == KEY


def test_no_shell_reads_a_command(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="printed"):
        from_command(("echo", f"; touch {tmp_path}/made"))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("words", "want"),
    [
        (("no-such-command-here",), "no-such-command-here: No such file"),
        (python("print('no key')"), "printed 7 bytes that are no key, want 64 hex digits"),
        (python(f"print('{KEY.hex()}'); raise SystemExit(3)"), "ended with exit code 3"),
        (python("import sys\nwhile True: sys.stdout.write('0' * 1000)"), "printed 1024 bytes that are no key"),
    ],
)
def test_a_command_that_gives_no_key(words: tuple[str, ...], want: str) -> None:
    with pytest.raises(SetupError, match=want) as refused:
        from_command(words, seconds=20)
    assert "\n" not in str(refused.value)
    assert KEY.hex() not in str(refused.value)


@pytest.mark.parametrize("code", ["import time; time.sleep(600)", "import os, time; os.close(1); time.sleep(600)"])
def test_a_command_that_hangs_is_ended_with_its_children(code: str) -> None:
    child = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '''{code}''']); {code}"
    began = time.monotonic()
    with pytest.raises(SetupError, match=r"no answer within 0\.5 s"):
        from_command(python(child), seconds=0.5)
    assert time.monotonic() - began < 60


def config(data_dir: Path, source: KeySource | None = None) -> Config:
    return Config(data_dir=data_dir, master_key=source)


@contextmanager
def opened(data_dir: Path, source: KeySource | None = None) -> Iterator[tuple[Store, Seal]]:
    store, seal = open_store(config(data_dir, source))
    try:
        yield store, seal
    finally:
        store.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with a user, whose master key is in its file."""
    path = tmp_path / "d"
    with opened(path) as (index, seal), index.write():
        user = people.add_user(username="u", nickname="n", role=Role.NORMAL, password_hash="", now=0)
        personal.add(seal, user.id, PHONE)
        keys.keep_key(seal, "token", b"seed")
    return path


def is_whole(data_dir: Path, source: KeySource | None = None) -> bytes:
    """Everything opens; answers what the key's file in the data directory has, to tell keys apart."""
    with opened(data_dir, source) as (_, seal):
        assert personal.user_with_phone(seal, PHONE) == 1
        assert personal.of(seal, [1])[1] == Personal(PHONE, "", "", "")
        assert keys.known_key(seal, "token") == b"seed"
    assert not (data_dir / "master.key.new").exists()
    return b"" if source else (data_dir / "master.key").read_bytes()


def vtrace(*args: str, environment: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, list(args), env=environment)


def test_the_key_may_come_from_anywhere(data_dir: Path) -> None:
    file = data_dir / "master.key"
    key = file.read_text().strip()
    file.unlink()
    given = ["user", "export", "u", "--data-dir", str(data_dir)]
    for environment in (
        {"VTRACE_MASTER_KEY": key},
        {"VTRACE_MASTER_KEY": base64.b64encode(bytes.fromhex(key)).decode()},
        {"VTRACE_MASTER_KEY_COMMAND": shlex.join(("echo", key))},
    ):
        done = vtrace(*given, environment=environment)
        assert (done.exit_code, PHONE in done.output) == (0, True), done.output
    assert not file.exists()


def test_a_key_on_the_command_line_is_refused(data_dir: Path) -> None:
    done = vtrace("status", "--data-dir", str(data_dir), "--master-key", KEY.hex())
    assert done.exit_code == 2
    assert "set it as VTRACE_MASTER_KEY" in done.output
    assert KEY.hex() not in done.output


@pytest.mark.parametrize(
    ("environment", "want"),
    [
        ({"VTRACE_MASTER_KEY_COMMAND": "  "}, "want a command"),
        ({"VTRACE_MASTER_KEY_COMMAND": "echo 'x"}, "No closing quotation"),
        ({"VTRACE_MASTER_KEY_COMMAND": "echo x", "VTRACE_MASTER_KEY": KEY.hex()}, "want one of them"),
    ],
)
def test_options_that_can_not_be_meant(data_dir: Path, environment: dict[str, str], want: str) -> None:
    done = vtrace("status", "--data-dir", str(data_dir), environment=environment)
    assert (done.exit_code, want in done.output) == (2, True), done.output


def test_a_wrong_key_is_one_clear_line(data_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    master_key.write(other, KEY)
    wrong = "another master key than the one that this data directory was made with; name that one"
    serve = ["serve", "--data-dir", str(data_dir), "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    for args, environment, who in (
        (["--master-key", str(other)], {}, f"master key {other}"),
        ([], {"VTRACE_MASTER_KEY": KEY.hex()}, "VTRACE_MASTER_KEY"),
        (["--master-key-command", f"echo {KEY.hex()}"], {}, "--master-key-command echo"),
    ):
        done = vtrace(*serve, *args, environment=environment)
        assert done.exit_code == 1
        assert done.output.startswith(f"Error: {who}: {wrong}")
        assert done.output.count("\n") == 1
        assert KEY.hex() not in done.output
    is_whole(data_dir)


def test_a_lost_key_is_not_made_again(data_dir: Path) -> None:
    (data_dir / "master.key").unlink()
    with pytest.raises(SetupError, match=r"master\.key: No such file"):
        open_store(config(data_dir))
    assert not (data_dir / "master.key").exists()


def test_a_directory_from_before_there_was_a_check_knows_its_key(data_dir: Path) -> None:
    with opened(data_dir) as (store, _), store.write():
        store.forget(sealed.CHECK)
    with pytest.raises(SetupError, match="another master key"):
        open_store(config(data_dir, GivenKey(KEY.hex())))
    is_whole(data_dir)
    with opened(data_dir) as (store, _):
        assert sealed.CHECK in store.settings()


def change_master(data_dir: Path, *args: str, environment: dict[str, str] | None = None) -> Result:
    return vtrace("keys", "change-master", "--data-dir", str(data_dir), *args, environment=environment)


def test_the_key_in_the_file_is_changed(data_dir: Path) -> None:
    before = is_whole(data_dir)
    done = change_master(data_dir)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("2 values are sealed under the new master key")
    assert is_whole(data_dir) != before
    with pytest.raises(SetupError, match="another master key"):
        open_store(config(data_dir, GivenKey(before.decode().strip())))


def test_the_new_key_may_be_in_a_file(data_dir: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.key"
    old = (data_dir / "master.key").read_text().strip()
    assert f"--master-key {new}" in change_master(data_dir, "--new-key", str(new)).output
    is_whole(data_dir, new)
    again = change_master(data_dir, "--master-key", str(new), "--new-key", str(new))
    assert "is that one already" in again.output
    back = tmp_path / "back.key"
    master_key.write(back, bytes.fromhex(old))
    environment = {"VTRACE_MASTER_KEY": new.read_text().strip()}
    assert "name a file with the new one" in change_master(data_dir, environment=environment).output
    done = change_master(data_dir, "--new-key", str(back), environment=environment)
    assert done.exit_code == 0, done.output
    is_whole(data_dir)


def test_a_running_node_keeps_its_key(data_dir: Path) -> None:
    from node.claim import claim_directory

    with claim_directory(config(data_dir)):
        assert "another node runs on it" in change_master(data_dir).output
    is_whole(data_dir)


def test_nobody_writes_under_the_old_key_beside_a_change(data_dir: Path) -> None:
    """A command that has the key already must not write with it after the change."""
    code = f"""
from pathlib import Path
from node.config import Config
from node.opening import open_store
open_store(Config(data_dir=Path({str(data_dir)!r})))
print("open", flush=True)
input()
"""
    other = subprocess.Popen(python(code), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        assert "another command works on it" in change_master(data_dir).output
        other.communicate(b"\n")
    assert change_master(data_dir).exit_code == 0
    is_whole(data_dir)


KILLED_AT = {
    "before the index is sealed anew": ("node.store.sealed", "seal_anew"),
    "in the midst of it": ("node.store.sealed", "_index_anew"),
    "before the commit": ("node.store.unsealed", "wipe_later"),
    "before the new key takes the old one's place": ("node.store.master_key", "put"),
    "before the wipe": ("node.store.unsealed", "wipe"),
}


@pytest.mark.parametrize("where", KILLED_AT)
def test_a_change_that_is_killed_leaves_one_key_or_the_other(data_dir: Path, where: str) -> None:
    """``put`` is called once to write the new key aside, and once to put it into its place."""
    module, name = KILLED_AT[where]
    before = is_whole(data_dir)
    calls = 2 if name == "put" else 1
    code = f"""
import os, signal, {module} as place
from node.cli import main
real, left = place.{name}, {calls}
def killed(*args):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args)
place.{name} = killed
main(["keys", "change-master", "--data-dir", {str(data_dir)!r}])
"""
    done = subprocess.run(python(code), capture_output=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert (data_dir / "master.key.new").exists() == (where != "before the wipe")
    is_new = where in ("before the new key takes the old one's place", "before the wipe")
    assert (is_whole(data_dir) != before) == is_new
    assert is_whole(data_dir) == is_whole(data_dir)


def test_a_wrong_file_beside_a_new_key_removes_nothing(data_dir: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.key"
    master_key.write(wrong, KEY)
    new = master_key.new_of(wrong)
    master_key.write(new, KEY[::-1])
    with pytest.raises(SetupError, match="another master key"):
        open_store(config(data_dir, wrong))
    assert new.exists()


def test_nothing_of_the_old_sealing_stays_in_the_files(data_dir: Path) -> None:
    with opened(data_dir) as (_, seal):
        index = seal.index("phone", PHONE)
    assert index in (data_dir / "index.sqlite3").read_bytes()
    assert change_master(data_dir).exit_code == 0
    assert not [path for path in data_dir.iterdir() if index in path.read_bytes()]


def test_files_that_others_can_read(data_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = tmp_path / "signer.key"
    key.write_text("11" * 32)
    key.chmod(0o640)
    with pytest.raises(SetupError, match=f"--signer-key {key}: mode 0640 lets others read it; run chmod 600 on it"):
        key_in(key)
    key.chmod(0o600)
    assert key_in(key) == bytes.fromhex("11" * 32)
    with caplog.at_level(logging.WARNING):
        unlocking.warn_of_modes(config(data_dir))
        assert caplog.messages == []
        os.chmod(data_dir, 0o755)
        os.chmod(data_dir / "index.sqlite3", 0o644)
        unlocking.warn_of_modes(config(data_dir))
    assert caplog.messages == [
        f"{data_dir}: mode 0755 lets others read it; run chmod 700 on it",
        f"{data_dir / 'index.sqlite3'}: mode 0644 lets others read it; run chmod 600 on it",
    ]


def test_no_key_stands_in_a_representation() -> None:
    assert KEY.hex() not in repr(Config(data_dir=Path("d"), master_key=GivenKey(KEY.hex())))
    assert repr(KeyCommand(("a", "b"))) == "KeyCommand(words=('a', 'b'))"
