"""A backup beside a running node, and a node that goes on from it."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pyrage
import pytest
from click.testing import CliRunner

from node.backup import age
from node.backup.making import WORK_FOLDER, make
from node.backup.manifest import Manifest
from node.backup.restoring import LOCKS, restore
from node.cli import main
from node.clock import now_micros
from node.config import UNFINISHED_RESTORE, Config
from node.errors import SetupError
from node.opening import open_store
from tests.api.test_files import message, upload
from tests.support import people
from tests.support.node import eventually, running, vtrace
from tests.support.wire_client import WireClient

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a guess costs is no part of these tests, but of the command's."""
    monkeypatch.setattr(age.Writer.__init__, "__defaults__", (4,))


@pytest.fixture
def key(tmp_path: Path) -> str:
    path = tmp_path / "backup.key"
    path.touch(0o600)
    path.write_text(PASSPHRASE + "\n")
    return str(path)


@dataclass
class Load:
    """A caller that records circs of a goods all the time, one after the other."""

    client: WireClient
    goods_id: int
    answered: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self.ended.is_set():
            form = b'{"number":%d}' % len(self.answered)
            made = self.client.call("CreateCirc", goods_id=self.goods_id, circ_type=1, form_value=form)
            self.answered.append(made.trans_id.value)


@contextmanager
def under(load: Load) -> Iterator[Load]:
    """The load for the length of a block; no call of it may fail."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(load.run)
        try:
            eventually(lambda: load.answered or running.done())
            yield load
        finally:
            load.ended.set()
        running.result()


def test_a_node_goes_on_from_a_backup_that_was_made_beside_it(tmp_path: Path, key: str) -> None:
    data_dir, file, again = tmp_path / "d", tmp_path / "node.vtrace", tmp_path / "again"
    with running(data_dir) as node:
        maker = people.maker(node.client)
        goods_id, busy = maker.goods(2)
        maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1, form_value=b'{"a":1}')
        cid = upload(maker.boss.client, message(os.urandom(600_000))).rpartition("/")[2]
        people.settled(node.client, goods_id)
        with under(Load(maker.boss.client, busy)) as load:
            known = list(load.answered)
            made = vtrace("backup", str(file), "--data-dir", str(data_dir), "--passphrase-file", key)
        assert made.returncode == 0, made.stderr
        assert made.stdout.startswith(f"{file}: ")
        assert f"contract {node.ready['contract']}, with its master key" in made.stdout
        before = people.history(node.client, goods_id)
        content = httpx.get(f"http://{node.ready['http']}/ipfs/{cid}").content
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not (data_dir / WORK_FOLDER).exists()
    assert maker.boss.username.encode() not in file.read_bytes()
    done = vtrace("restore", str(file), "--data-dir", str(again), "--passphrase-file", key)
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE((again / "master.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(again.stat().st_mode) == 0o700
    with running(again) as node:
        assert people.history(node.client, goods_id) == before
        assert httpx.get(f"http://{node.ready['http']}/ipfs/{cid}").content == content
        kept = [record.trans_id.value for record in people.settled(node.client, busy)[1:]]
        assert set(known) <= set(kept)
        assert kept == load.answered[: len(kept)]
        client = people.again(node.client, maker.boss)
        for each in (goods_id, busy):
            client.call("CreateCirc", goods_id=each, circ_type=1)
            assert {r.status.value for r in people.settled(node.client, each)} == {"success"}
        audited = node.command(
            *("audit", "--node", node.ready["grpc"], "--rpc", node.rpc_url),
            *("--contract", node.ready["contract"], "--all"),
        )
        # A circ that was answered and mined in the moment between the two views has lost its form.
        assert all("form and salt" in line for line in audited.stdout.splitlines()[1:-1]), audited.stdout


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Of a node that never ran, with a file."""
    home = tmp_path / "d"
    store, _ = open_store(Config(data_dir=home))
    with store.write():
        store.remember(chain_id="7", contract="0xc0")
    store.close()
    (home / "files" / "ab").mkdir(parents=True)
    (home / "files" / "ab" / "bafyab").write_bytes(b"content")
    (home / "files" / "parts").mkdir()
    (home / "files" / "parts" / "bafycd").write_bytes(b"arriving")
    (home / "files" / "parts-2").mkdir()
    (home / "files" / "parts-2" / "bafyef").write_bytes(b"arriving at the second process")
    (home / "files" / "parts" / "0123.part").write_bytes(b"not there yet")
    return home


def made(data_dir: Path, file: Path) -> Manifest:
    return make(Config(data_dir=data_dir), file, PASSPHRASE, now_micros, lambda *_: None)


def back(file: Path, target: Path, passphrase: str = PASSPHRASE) -> Manifest:
    target.mkdir(exist_ok=True)
    return restore(file, Config(data_dir=target), passphrase, lambda *_: None)


def held(home: Path) -> dict[str, bytes]:
    return {str(path.relative_to(home)): path.read_bytes() for path in home.rglob("*") if path.is_file()}


def test_what_a_backup_holds(data_dir: Path, tmp_path: Path) -> None:
    told = made(data_dir, tmp_path / "b")
    with tarfile.open(fileobj=io.BytesIO(opened(tmp_path / "b"))) as archive:
        names = archive.getnames()
    files = ["files/parts/bafycd", "files/parts-2/bafyef", "files/ab/bafyab"]
    assert names == ["manifest.json", "index.sqlite3", "master.key", *files]
    assert (told.chain_id, told.contract, told.has_chain, told.has_master_key) == ("7", "0xc0", False, True)
    assert back(tmp_path / "b", tmp_path / "e") == told
    kept = held(tmp_path / "e")
    assert kept.keys() == {"index.sqlite3", "master.key", *files}
    assert kept["master.key"] == (data_dir / "master.key").read_bytes()
    assert kept["files/ab/bafyab"] == b"content"


def opened(file: Path) -> bytes:
    """As an independent program sees it."""
    content = pyrage.passphrase.decrypt(file.read_bytes(), PASSPHRASE)
    assert isinstance(content, bytes)
    return content


def test_a_master_key_from_elsewhere_is_not_in_it(data_dir: Path, tmp_path: Path) -> None:
    (data_dir / "master.key").rename(tmp_path / "elsewhere.key")
    assert not made(data_dir, tmp_path / "b").has_master_key
    assert not back(tmp_path / "b", tmp_path / "e").has_master_key
    config = Config(data_dir=tmp_path / "e")
    with pytest.raises(SetupError, match="master key"):
        open_store(config)
    store, _ = open_store(Config(data_dir=tmp_path / "e", master_key=tmp_path / "elsewhere.key"))
    store.close()


def test_a_cut_or_changed_backup_leaves_nothing(data_dir: Path, tmp_path: Path) -> None:
    made(data_dir, tmp_path / "b")
    whole = (tmp_path / "b").read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    for content in (b"", whole[:50], whole[: len(whole) // 2], whole[:-1], whole + b"x", bytes(changed)):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(SetupError, match="nothing was restored"):
            back(tmp_path / "bad", tmp_path / "e")
        assert held(tmp_path / "e") == {}
    with pytest.raises(SetupError, match="passphrase is another one"):
        back(tmp_path / "b", tmp_path / "e", "another passphrase")
    back(tmp_path / "b", tmp_path / "e")


def test_the_command_says_what_is_wrong_in_one_line(data_dir: Path, tmp_path: Path, key: str) -> None:
    """A backup that is killed has no name yet; one that is damaged, or locked with another passphrase, is refused."""
    file, target = tmp_path / "b", tmp_path / "e"
    pipe = data_dir / "files" / "ab" / "bafyzz"
    os.mkfifo(pipe)  # nobody writes to it, so the backup waits here in its middle
    options = ["--data-dir", str(data_dir), "--passphrase-file", key]
    process = subprocess.Popen([sys.executable, "-m", "node.cli", "backup", str(file), *options])
    try:
        eventually(lambda: (data_dir / WORK_FOLDER).exists() and (tmp_path / "b.part").exists())
    finally:
        process.kill()
        process.wait(60)
    pipe.unlink()
    assert not file.exists()
    assert vtrace("backup", str(file), *options).returncode == 0
    assert not (tmp_path / "b.part").exists()
    assert not (data_dir / WORK_FOLDER).exists()
    changed = bytearray(file.read_bytes())
    changed[-100] ^= 1
    (tmp_path / "changed").write_bytes(changed)
    (tmp_path / "other.key").touch(0o600)
    (tmp_path / "other.key").write_text("another passphrase")
    for source, passphrase, why in (
        (file, tmp_path / "other.key", "the passphrase is another one, or the file is damaged at its beginning"),
        (tmp_path / "changed", Path(key), "damaged, or cut, at chunk "),
    ):
        refused = vtrace("restore", str(source), "--data-dir", str(target), "--passphrase-file", str(passphrase))
        assert refused.returncode == 1
        (line,) = refused.stderr.splitlines()
        assert line.startswith(f"Error: {source}: {why}"), line
        assert line.endswith("; nothing was restored")
        assert held(target).keys() <= LOCKS


def packed(*members: tuple[str, bytes | None]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as made:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                member.size = len(content)
            made.addfile(member, io.BytesIO(content or b""))
    return out.getvalue()


ABOUT = Manifest(1, "0", "index.sqlite3", "0001_start", 0, "", "", False, False, 0)
ARCHIVES = [
    (b"", "not a backup of VTrace"),
    (b"x" * 5_000, "not a backup of VTrace"),
    (packed(("index.sqlite3", b"")), "want manifest.json first"),
    (packed(("manifest.json", b"{}")), "of format None"),
    (packed(("manifest.json", b"[" * 10_000)), "not one that this version knows"),
    (packed(("manifest.json", b"x" * 70_000)), "want manifest.json first"),
    (packed(("manifest.json", ABOUT.to_json().replace(b'"version": "0"', b'"version": 0'))), "version is no str"),
    (packed(("manifest.json", ABOUT.to_json())), "not a whole backup"),
    (packed(("manifest.json", ABOUT.to_json()), ("../evil", b"")), "holds '../evil'"),
    (packed(("manifest.json", ABOUT.to_json()), ("files/../../evil", b"")), "holds 'files/../../evil'"),
    (packed(("manifest.json", ABOUT.to_json()), ("master.key", None)), "holds 'master.key'"),
    (packed(("manifest.json", ABOUT.to_json()), ("index.sqlite3", b"x" * 5_000)), "not an index of VTrace"),
    (packed(("manifest.json", ABOUT.to_json()), ("index.sqlite3", b""), ("index.sqlite3", b"")), "exists"),
]


@pytest.mark.parametrize(("content", "why"), ARCHIVES)
def test_an_archive_of_another_kind_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    with open(tmp_path / "b", "wb") as file:
        writer = age.Writer(file, PASSPHRASE)
        writer.write(content)
        writer.finish()
    with pytest.raises(SetupError, match=why):
        back(tmp_path / "b", tmp_path / "e")
    assert held(tmp_path) == {"b": (tmp_path / "b").read_bytes()}


def test_a_newer_version_must_restore_its_own(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(data_dir, tmp_path / "b")
    monkeypatch.setattr("node.store.about.MIGRATIONS", tmp_path)
    (tmp_path / "0001_start.py").touch()
    with pytest.raises(SetupError, match="made by a newer VTrace"):
        back(tmp_path / "b", tmp_path / "e")


def test_a_directory_in_use_is_not_touched(data_dir: Path, tmp_path: Path) -> None:
    made(data_dir, tmp_path / "b")
    before = held(data_dir)
    with pytest.raises(SetupError, match="name an empty or a new directory"):
        back(tmp_path / "b", data_dir)
    assert held(data_dir) == before
    with pytest.raises(SetupError, match="is there already"):
        made(data_dir, tmp_path / "b")


class Killed(BaseException):
    """As if the process ended here."""


def restored_until(file: Path, target: Path, monkeypatch: pytest.MonkeyPatch, moves: int) -> None:
    """A restore that dies after so many of its last steps."""
    left, rename = [moves], Path.rename

    def move(self: Path, to: Path) -> Path:
        if not left[0]:
            raise Killed
        left[0] -= 1
        return rename(self, to)

    with monkeypatch.context() as changed:
        changed.setattr(Path, "rename", move)
        changed.setattr("node.backup.restoring.shutil.rmtree", lambda _: None)
        with pytest.raises(Killed):
            back(file, target)


@pytest.mark.parametrize("moves", range(3))
def test_no_node_starts_where_a_restore_was_cut_short(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    target = tmp_path / "e"
    made(data_dir, tmp_path / "b")
    restored_until(tmp_path / "b", target, monkeypatch, moves)
    assert (target / UNFINISHED_RESTORE).exists()
    for command in (["serve"], ["status"], ["backup", str(tmp_path / "c")], ["reindex"]):
        done = CliRunner().invoke(main, [*command, "--data-dir", str(target)])
        assert done.exit_code, done.output
        assert "cut short" in done.output or "no node keeps its data there" in done.output
    back(tmp_path / "b", target)
    assert held(target).keys() - LOCKS == {
        *("index.sqlite3", "master.key", "files/ab/bafyab", "files/parts/bafycd", "files/parts-2/bafyef")
    }


def test_a_backup_that_fails_leaves_nothing(data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    (data_dir / WORK_FOLDER).mkdir()
    (data_dir / WORK_FOLDER / "index.sqlite3").write_bytes(b"of one that was killed")
    with monkeypatch.context() as changed:
        changed.setattr("node.backup.making.os.fsync", full)
        with pytest.raises(SetupError, match=r"No space left on device"):
            made(data_dir, tmp_path / "b")
    assert not (data_dir / WORK_FOLDER).exists()
    assert list(tmp_path.glob("b*")) == []
    made(data_dir, tmp_path / "b")


PASSPHRASES: list[tuple[Callable[[Path], object], str]] = [
    (lambda _path: None, "No such file"),
    (lambda path: path.write_text(PASSPHRASE), "mode 0644 lets others read it"),
    (lambda path: (path.touch(0o600), path.write_text("short"))[0], "5 characters, want 12 or more"),
    (lambda path: (path.touch(0o600), path.write_bytes(b"\xff" * 20))[0], "want a line of text"),
]


@pytest.mark.parametrize(("write", "why"), PASSPHRASES)
def test_a_passphrase_that_is_none_is_refused(
    data_dir: Path, tmp_path: Path, write: Callable[[Path], None], why: str
) -> None:
    path = tmp_path / "backup.key"
    path.unlink(missing_ok=True)
    before = os.umask(0o022)
    try:
        write(path)
    finally:
        os.umask(before)
    done = CliRunner().invoke(
        main, ["backup", str(tmp_path / "b"), "--data-dir", str(data_dir), "--passphrase-file", str(path)]
    )
    assert (done.exit_code, why in done.output) == (1, True), done.output
    assert not (tmp_path / "b").exists()
