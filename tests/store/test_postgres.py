"""What PostgreSQL adds to the suite of the store: a server that goes away, others beside, and secrets in addresses."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import peewee
import pytest

from node.errors import IndexUnavailable, SetupError
from node.store import pool, tables
from node.store.db import Store, has_index
from node.store.pool import Pool
from node.store.postgres import Postgres, hidden, parts_of, shown_of
from tests.support.node import eventually
from tests.support.postgres import Server

from . import rows

MINE = "SELECT pg_backend_pid()"
WAITING = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


@pytest.fixture
def index(url: str) -> Iterator[Store]:
    with closing(Store(url)) as opened:
        yield opened


@pytest.fixture
def other(url: str) -> Iterator[Postgres]:
    """The same database as another process has it."""
    beside = Postgres(url)
    yield beside
    beside.close_all()


def cut(server: Server, backend: int) -> None:
    """End a connection at the server, as a restart or a network that breaks does."""
    with server.admin() as admin:
        assert admin.execute("SELECT pg_terminate_backend(%s, 10000)", [backend]).fetchone() == (True,)


def mine() -> int:
    """The number that the server has for the connection that is lent next, or that this thread has."""
    return int(tables.run(MINE).fetchone()[0])


def test_an_idle_connection_that_broke_is_replaced(index: Store, server: Server) -> None:
    cut(server, mine())
    assert index.settings() == {}


def test_a_transaction_whose_connection_breaks_writes_nothing(index: Store, server: Server) -> None:
    def before_a_statement() -> None:
        with index.write():
            index.remember(a="b")
            cut(server, mine())
            index.remember(c="d")

    def before_the_commit() -> None:
        with index.write():
            index.remember(a="b")
            cut(server, mine())

    def reading() -> None:
        with index.read():
            cut(server, mine())
            index.settings()

    for work in (before_a_statement, before_the_commit, reading):
        with pytest.raises(IndexUnavailable):
            work()
    assert index.settings() == {}
    with index.write():
        index.remember(a="c")
    assert index.settings() == {"a": "c"}


def test_each_of_a_group_hears_of_a_broken_connection(index: Store, server: Server) -> None:
    with pytest.raises(IndexUnavailable):
        index.together(lambda: cut(server, mine()))
    assert index.together(rows.next_transaction) > 0


def test_the_index_is_there_again_when_the_server_is(index: Store, server: Server) -> None:
    with index.write():
        index.remember(a="b")
    server.stop(signal.SIGQUIT)
    try:
        for _ in range(2):
            with pytest.raises(IndexUnavailable, match="database postgresql://"):
                index.settings()
            with pytest.raises(IndexUnavailable), index.write():
                index.remember(a="c")
    finally:
        server.start()
    assert index.settings() == {"a": "b"}


def test_a_statement_that_takes_too_long_is_ended(index: Store) -> None:
    def sleep() -> None:
        with index.write():
            tables.run("SET LOCAL statement_timeout = 1")
            tables.run("SELECT pg_sleep(30)")

    with pytest.raises(IndexUnavailable, match="statement timeout"):
        sleep()
    assert index.settings() == {}


def test_what_follows_a_failed_statement_is_not_taken_for_written(index: Store) -> None:
    def go_on() -> None:
        with index.write():
            index.remember(a="b")
            with suppress(peewee.IntegrityError):
                tables.run("INSERT INTO setting (name, value) VALUES (?, ?)", "a", "c")

    with pytest.raises(peewee.InternalError, match="taken back"):
        go_on()
    assert index.settings() == {}


def test_nothing_is_written_outside_of_a_transaction(index: Store) -> None:
    with pytest.raises(peewee.InternalError, match="read-only"):
        index.remember(a="b")
    with pytest.raises(peewee.InternalError, match="read-only"), index.read():
        index.remember(a="b")


def test_writers_of_several_processes_go_one_after_the_other(index: Store, other: Postgres, server: Server) -> None:
    seen: list[str] = []

    def write() -> None:
        with other.writing():
            seen.extend(row[0] for row in other.execute_sql("SELECT value FROM setting").fetchall())

    def waits() -> bool:
        with server.admin() as admin:
            return admin.execute(WAITING).fetchone() == (1,)

    with ThreadPoolExecutor(1) as threads:
        with index.write():
            beside = threads.submit(write)
            eventually(waits)
            index.remember(a="b")
        beside.result(30)
    assert seen == ["b"]


def test_a_reader_sees_one_moment_and_waits_for_no_writer(index: Store, other: Postgres) -> None:
    with index.read():
        assert index.settings() == {}
        with ThreadPoolExecutor(1) as threads:

            def write() -> None:
                with other.writing():
                    other.execute_sql("INSERT INTO setting (name, value) VALUES ('a', 'b')")

            threads.submit(write).result(30)
        assert index.settings() == {}
    assert index.settings() == {"a": "b"}


def test_connections_are_few_and_waiting_for_one_ends(other: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    lending = Pool(other.connected, size=2)
    monkeypatch.setattr(pool, "WAIT_SECONDS_MAX", 0.05)
    first, second = lending.take(), lending.take()
    with pytest.raises(IndexUnavailable, match="all 2 connections"):
        lending.take()
    assert lending.waits == 1
    assert lending.waited.now().count == 3
    assert lending.waited.now().total >= 0.05
    monkeypatch.setattr(pool, "WAIT_SECONDS_MAX", 30)
    with ThreadPoolExecutor(1) as threads:
        third = threads.submit(lending.take)
        eventually(lambda: lending.waits == 2)
        lending.give(first)
        assert third.result(30) is first
    second.execute("BEGIN")
    lending.give(second)  # an open transaction is nobody else's
    assert second.closed
    made = lending.take()
    lending.close()
    with pytest.raises(IndexUnavailable, match="closed"):
        lending.take()
    for lent in (first, made):
        lending.give(lent)
        assert lent.closed


def test_more_threads_than_connections_all_get_their_turn(index: Store) -> None:
    both = threading.Barrier(2 * pool.CONNECTIONS_MAX)

    def work(number: int) -> None:
        both.wait(30)
        with index.read():
            index.settings()
        with index.write():
            index.remember(**{f"n{number}": "x"})

    with ThreadPoolExecutor(both.parties) as threads:
        list(threads.map(work, range(both.parties)))
    assert len(index.settings()) == both.parties


def test_one_opener_at_a_time_while_something_is_alone(url: str, other: Postgres) -> None:
    with closing(other.alone()), pytest.raises(SetupError, match="another command works on it"):
        Store(url)
    Store(url).close()


def test_nothing_is_alone_beside_another_process(
    other: Postgres, server: Server, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.store.postgres.ALONE_SECONDS_MAX", 0.01)
    with server.admin(parts_of(url)["dbname"]) as beside:
        beside.execute("SET application_name = 'vtrace 00000000'")
        with pytest.raises(SetupError, match="a node or another command uses it"):
            other.alone()
    with closing(other.alone()):
        assert has_index(url)


def test_an_empty_database_has_no_index(database: str, url: str) -> None:
    assert not has_index(database)
    assert has_index(url)


def test_a_database_that_can_keep_no_index_is_refused(server: Server, database: str) -> None:
    name = parts_of(database)["dbname"]
    with server.admin() as admin:
        admin.execute("CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LOCALE 'C'")
        admin.execute(f"ALTER DATABASE {name} SET search_path = nowhere")
    try:
        with pytest.raises(SetupError, match="its encoding is SQL_ASCII; want one made with ENCODING 'UTF8'"):
            Store(server.url("ascii"))
        with pytest.raises(SetupError, match="no schema of its search_path exists"):
            Store(database)
    finally:
        server.drop("ascii")


def test_a_database_of_another_program_is_refused(server: Server, database: str) -> None:
    with server.admin(parts_of(database)["dbname"]) as admin:
        admin.execute("CREATE TABLE theirs (id int)")
    with pytest.raises(SetupError, match="the database of another program"):
        Store(database)


def test_an_index_of_a_newer_version_is_refused(index: Store, url: str) -> None:
    with index.write():
        tables.run("INSERT INTO schema_migration (name, applied) VALUES ('9999_later', now())")
    index.close()
    with pytest.raises(SetupError, match=r"newer VTrace.*9999_later"):
        Store(url)


def test_the_tables_are_written_anew(index: Store) -> None:
    with index.write():
        index.remember(a="b")
    index.write_anew()
    assert index.settings() == {"a": "b"}


def test_texts_are_ordered_by_their_bytes_and_numbers_have_64_bits(index: Store) -> None:
    with index.write():
        index.remember(b="1", A="2", ä="3", a="4")
    found = tables.run("SELECT name FROM setting ORDER BY name").fetchall()
    assert [name for (name,) in found] == ["A", "a", "b", "ä"]
    narrow = tables.run(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = current_schema() "
        "AND table_name <> 'schema_migration' AND (data_type IN ('integer', 'smallint', 'character varying') "
        "OR data_type = 'text' AND collation_name IS DISTINCT FROM 'C')"
    )
    assert narrow.fetchall() == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://u:secret@h:1/d", "postgresql://u:…@h:1/d"),
        ("at postgresql://u:se:cret@[::1]/d and on", "at postgresql://u:…@[::1]/d and on"),
        ("postgresql://:secret@h/d", "postgresql://:…@h/d"),
        ("postgresql://h/d?user=u&password=secret&x=1", "postgresql://h/d?user=u&password=…&x=1"),
        ("postgresql://h/d?sslpassword=secret", "postgresql://h/d?sslpassword=…"),
        ("host=h password=secret dbname=d", "host=h password=… dbname=d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
    ],
)
def test_a_password_is_never_shown(text: str, shown: str) -> None:
    assert hidden(text) == shown


@pytest.mark.parametrize(
    "url", ["postgresql://u:secret@h:port/d", "postgresql://u:secret@h/d?what=1", "postgresql://%"]
)
def test_a_url_that_says_nothing_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SetupError, match="--db postgresql://") as refused:
        parts_of(url)
    assert "secret" not in str(refused.value)


def test_a_database_is_named_without_its_password() -> None:
    assert shown_of(parts_of("postgresql://u:secret@h:1/d?sslmode=require")) == "postgresql://u@h:1/d"
    nowhere = Postgres("postgresql://u:secret@/d?host=/nowhere")
    with pytest.raises(IndexUnavailable) as fault:
        nowhere.connected()
    assert "secret" not in str(fault.value)
    assert "/nowhere" in str(fault.value)


@pytest.mark.parametrize("place", ["environment", "file"])
def test_the_password_may_stand_elsewhere(
    place: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if place == "environment":
        monkeypatch.setenv("PGPASSWORD", "right one")
        more = ""
    else:
        path = tmp_path / "password"
        path.touch(0o600)
        path.write_text("*:*:*:*:right one\n")
        more = f"&passfile={path}"
    with server.asking_for_passwords("keeper", "right one") as url:
        with closing(Postgres(url + more).connected()) as made:
            assert made.execute("SELECT current_user").fetchone() == ("keeper",)
        monkeypatch.delenv("PGPASSWORD", raising=False)
        with pytest.raises(IndexUnavailable, match="password"):
            Postgres(url).connected()
