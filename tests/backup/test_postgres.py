"""A backup of a node whose index is in PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from node.backup.making import WORK_FOLDER, make
from node.backup.manifest import Manifest
from node.backup.restoring import LOCKS, restore
from node.clock import now_micros
from node.config import Config
from node.errors import SetupError
from node.opening import open_store
from tests.chain.servers import anvil
from tests.flow.world import config, net_at, started
from tests.support import people
from tests.support.node import vtrace
from tests.support.postgres import Server

from .test_backup import PASSPHRASE, Load, back, held, key, light, under

__all__ = ["key", "light"]


@pytest.fixture
def empty(server: Server) -> str:
    """The URL of another empty database."""
    return server.url(server.database())


def test_a_node_goes_on_from_a_backup_and_from_its_chain(tmp_path: Path, key: str, database: str, empty: str) -> None:
    """Made beside the node while it records, restored to another database, brought up to date at the start."""
    file, again = tmp_path / "b", tmp_path / "again"
    with anvil() as url, net_at(url, tmp_path) as net:
        first = config(tmp_path / "d", url, net.key_file)
        with started(with_db(first, database)) as node:
            maker = people.maker(node.client)
            goods_id, busy = maker.goods(2)
            with under(Load(maker.boss.client, busy)) as load:
                known = list(load.answered)
                options = ("--data-dir", str(tmp_path / "d"), "--db", database, "--passphrase-file", key)
                made = vtrace("backup", str(file), *options)
            assert made.returncode == 0, made.stderr
            maker.boss.call("CreateCirc", goods_id=goods_id, circ_type=1)
            before = people.settled(node.client, busy)
            people.settled(node.client, goods_id)
        assert not (tmp_path / "d" / WORK_FOLDER).exists()
        done = vtrace("restore", str(file), "--data-dir", str(again), "--db", empty, "--passphrase-file", key)
        assert done.returncode == 0, done.stderr
        assert held(again).keys() - LOCKS == {"master.key"}
        with started(with_db(config(again, url), empty)) as node:
            after = people.settled(node.client, busy)
            assert [record.trans_id.value for record in after] == [record.trans_id.value for record in before]
            assert set(known) <= {record.trans_id.value for record in after if record.from_value.value}
            client = people.again(node.client, maker.boss)
            client.call("CreateCirc", goods_id=goods_id, circ_type=1)
            assert [record.status.value for record in people.settled(node.client, goods_id)] == ["success"] * 3


def with_db(given: Config, url: str) -> Config:
    return Config(**{name: getattr(given, name) for name in given.__slots__} | {"db": url})


def empty_node(home: Path, url: str) -> Config:
    """A node that never ran, with its index in a database."""
    given = Config(data_dir=home, db=url)
    store, _ = open_store(given)
    with store.write():
        store.remember(chain_id="7", contract="0xc0")
    store.close()
    return given


def made(given: Config, file: Path) -> Manifest:
    return make(given, file, PASSPHRASE, now_micros, lambda *_: None)


def restored(file: Path, target: Path, url: str, passphrase: str = PASSPHRASE) -> None:
    target.mkdir(exist_ok=True)
    restore(file, Config(data_dir=target, db=url), passphrase, lambda *_: None)


def test_what_can_not_be_restored_leaves_database_and_directory_empty(
    tmp_path: Path, database: str, empty: str, server: Server
) -> None:
    given = empty_node(tmp_path / "d", database)
    told = made(given, tmp_path / "b")
    assert (told.index, told.chain_id, told.contract) == ("index.pgdump", "7", "0xc0")
    whole = (tmp_path / "b").read_bytes()
    (tmp_path / "cut").write_bytes(whole[:-1])
    for file, url, why in (
        ("cut", empty, "damaged, or cut"),
        ("b", database, "has an index already; name an empty database"),
        ("b", "sqlite", r"its index is index.pgdump: name an empty database \(--db"),
        ("b", server.url("nowhere"), "does not exist"),
    ):
        with pytest.raises(SetupError, match=why):
            restored(tmp_path / file, tmp_path / "e", url)
        assert held(tmp_path / "e") == {}
    with server.admin(urlsplit(empty).path[1:]) as admin:
        admin.execute("CREATE TABLE circ (taken int)")
        with pytest.raises(SetupError, match=r'pg_restore: .*relation "circ" already exists'):
            restored(tmp_path / "b", tmp_path / "e", empty)
        assert admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall() == [("circ",)]
        admin.execute("DROP TABLE circ")
    assert held(tmp_path / "e") == {}
    restored(tmp_path / "b", tmp_path / "e", empty)
    assert held(tmp_path / "e").keys() == {"master.key"}


def test_a_backup_of_a_file_is_not_put_into_a_database(tmp_path: Path, empty: str) -> None:
    store, _ = open_store(Config(data_dir=tmp_path / "d"))
    store.close()
    made(Config(data_dir=tmp_path / "d"), tmp_path / "b")
    with pytest.raises(SetupError, match=r"its index is index.sqlite3: leave --db away; nothing was restored"):
        restored(tmp_path / "b", tmp_path / "e", empty)
    back(tmp_path / "b", tmp_path / "e")


def test_a_password_is_seen_by_nobody_and_the_programs_must_be_there(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server takes the role with its password alone, and pg_dump is told it beside its command line."""
    secret = "chamomile-by-the-river"
    with server.asking_for_passwords("careful", secret) as url:
        name = server.database()
        with server.admin() as admin:
            admin.execute(f"ALTER DATABASE {name} OWNER TO careful")
        place = url.replace("/postgres?", f"/{name}?").replace("@", f":{secret}@")
        given = empty_node(tmp_path / "d", place)
        lines: list[str] = []
        run = "node.store.dump.subprocess.Popen.__init__"
        original = __import__("subprocess").Popen.__init__

        def watched(self: object, command: list[str], *args: object, **kwargs: object) -> None:
            lines.append(" ".join(command))
            original(self, command, *args, **kwargs)

        with monkeypatch.context() as changed:
            changed.setattr(run, watched)
            made(given, tmp_path / "b")
        assert [line for line in lines if "pg_dump" in line]
        assert secret not in "".join(lines)
        monkeypatch.setenv("PATH", "")
        with pytest.raises(SetupError, match="pg_dump: not found; install PostgreSQL's client programs"):
            made(given, tmp_path / "c")
        assert not list(tmp_path.glob("c*"))
        server.drop(name)
