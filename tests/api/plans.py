"""Every statement that a node runs, by what ran it, with the plan that SQLite or PostgreSQL makes for it.

``python -m tests.api.plans`` prints SQLite's, ``--table`` in short. Each rpc is called as tests/api/matrix.py does,
each HTTP route that reads the index is asked, and meanwhile the node's workers do their steps. SQLite has no
statistics here (nothing runs ANALYZE), so that a plan follows from the statement and the schema alone: it is the same
for ten rows and for ten million. PostgreSQL keeps them, and reads a small table from end to end if it may; so here it
may not, and what it still reads so has no index.
"""

from __future__ import annotations

import re
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import peewee
import psycopg
import pytest

from node.config import Config
from node.domain.access import ACCESS
from node.domain.epcis.ids import base_of
from node.store import tables
from node.store.postgres import Postgres
from tests.api import matrix
from tests.api.matrix import BUILDERS, METHODS, Cell, Column, World
from tests.flow.world import started
from tests.support.node import eventually

SMALL = {
    "setting": "a row for each setting of the data directory",
    "sealed_key": "a row for each key of the node",
    "lane": "a row for each signer of the node, 64 at most",
    "progress": "a row for each thing that is noted of the workers",
    "feed": "one row",
    "material": "what goods can consist of, entered by hand",
    "model": "a row for each version of a model",
    "webhook": "a few of each org that has any",
    "wait": "transactions that wait for another lane, which are no more once they are final",
    "log_anchor": "a row a day",
    "schema_migration": "a row for each migration",
}
"""The tables that may be read from end to end, since they do not grow with goods, circs, people or calls."""

_PLACES = re.compile(r"\((?:\?|%s)(?:, (?:\?|%s))+\)")
_ROWS = re.compile(r"\(\?…\)(?:, \(\?…\))+")
_LIST = re.compile(r"(?:\?|%s)(?:, (?:\?|%s)){2,}")
_FOUND = re.compile(r"(SCAN|SEARCH) (?:TABLE )?(\S+)")
_WAY = re.compile(r"USING (?:INTEGER PRIMARY KEY|PRIMARY KEY|(?:COVERING )?INDEX (\w+))")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, with as many values as it was run with at first."""

    sql: str
    values: Any = field(compare=False)


@dataclass
class Watched:
    """Statements by what ran them: an rpc, a route or a worker."""

    by: dict[str, dict[str, Statement]] = field(default_factory=dict)
    runs: Counter[str] = field(default_factory=Counter)
    doing: str = "start"
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, sql: str, values: Any) -> None:
        thread = threading.current_thread().name
        names = {f"worker {thread}" if thread in (*WORKERS, WRITER) else self.doing}
        if thread == WRITER:  # which commits for rpcs and for the journal alike
            names.add(self.doing)
        with self._lock:
            for name in names:
                self.runs[name] += 1
                self.by.setdefault(name, {}).setdefault(short(sql), Statement(sql, values))


PASSES = {
    ("worker scans", "scan"): "counts of 90 days, by day, goods and kind of reader, judged once an hour",
    ("worker scans", "scan_alert"): "the unusual goods of these days",
    ("start again", "scan"): "the first judgement",
    ("start again", "scan_alert"): "what is hinted at on pages is kept in memory",
    ("start again", "scan_reader"): "who read a code today",
    ("start again", "user"): "those who are deleted, by an index of theirs alone",
    ("start again", "actor"): "for the first row that has a key, which nearly all have",
}
"""What else may be read from end to end, by whom, and why: never an rpc, nor a route."""

PASSES_OF_POSTGRES = {
    ("worker confirmer", "circ"): "here it names a thousand goods, which are nearly all, of a batch that failed",
    ("worker confirmer", "circ_goods"): "the same",
}
"""The same of PostgreSQL alone, whose plans depend on how many rows a statement names."""

_FIRST = re.compile(r"SELECT [\w, ]+ FROM (\w+) ORDER BY number(?: DESC)? LIMIT 1")
"""One row at an end of the key, which a plan calls a scan."""

WORKERS = ("sender", "confirmer", "nudger", "publisher", "scans", "feed", "anchor")
WRITER = "writer"


def short(sql: str) -> str:
    """A statement without how many values it was given, and on one line."""
    text = _PLACES.sub("(?…)", " ".join(sql.split()))
    return _LIST.sub("?…", _ROWS.sub("(?…)…", text))


@contextmanager
def watched() -> Iterator[Watched]:
    """What runs on the index of this process, however it is run."""
    found = Watched()
    many = tables.run_many

    def noted_many(sql: str, rows: Iterable[Sequence[object]]) -> None:
        rows = list(rows)
        if rows:
            found.note(sql.replace("?", tables.database.param), rows[0])
        many(sql, rows)

    with pytest.MonkeyPatch.context() as patched:
        for database in (peewee.Database, Postgres):
            patched.setattr(database, "execute_sql", _noted(database.execute_sql, found))
        patched.setattr(tables, "run_many", noted_many)
        yield found


def _noted(execute: Callable[..., Any], found: Watched) -> Callable[..., Any]:
    def noted(self: Any, sql: str, params: Any = None, *rest: Any) -> Any:
        found.note(sql, params or ())
        return execute(self, sql, params, *rest)

    return noted


def is_postgres() -> bool:
    """Whether the index that is open is in PostgreSQL."""
    return isinstance(tables.database.obj, Postgres)


def plan(statement: Statement) -> list[str]:
    """How the index's database goes about a statement, in SQLite's words: a line for each table that it looks into."""
    if statement.sql.split(None, 1)[0].upper() not in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH"):
        return []
    if is_postgres():
        return _of_postgres(statement)
    rows = tables.database.obj.execute_sql(f"EXPLAIN QUERY PLAN {statement.sql}", statement.values)
    return [row[3] for row in rows]


def _of_postgres(statement: Statement) -> list[str]:
    with closing(tables.database.obj.connected()) as connection, closing(psycopg.ClientCursor(connection)) as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement.sql}", statement.values)
        row = cursor.fetchone()
    assert row is not None
    return list(_steps(row[0][0]["Plan"], "", ""))


def _steps(node: dict[str, Any], above: str, relation: str) -> Iterator[str]:
    kind, relation = node["Node Type"], node.get("Relation Name", relation)
    if kind == "Seq Scan":
        yield f"SCAN {relation}"
    elif "Index Name" in node:
        finds = "Index Cond" in node or above == "Limit"
        yield f"{'SEARCH' if finds else 'SCAN'} {relation} USING INDEX {node['Index Name']}"
    for below in node.get("Plans", ()):
        yield from _steps(below, kind, relation)


def scanned(sql: str, steps: Sequence[str], names: set[str]) -> list[str]:
    """The tables of ``names`` that a plan reads from end to end."""
    found: list[str] = []
    if _FIRST.fullmatch(sql):
        return found
    for step in steps:
        match = _FOUND.match(step)
        if match is not None and match[1] == "SCAN":
            table = _table(sql, match[2], names)
            if table is not None:
                found.append(table)
    return found


def _table(sql: str, name: str, names: set[str]) -> str | None:
    """The table that a plan's name stands for; None for rows that are no table's, such as those of VALUES."""
    if name in names:
        return name
    for table in re.findall(rf'"?(\w+)"?\s+(?:AS\s+)?"?{re.escape(name)}"?(?!\w)', sql):
        if table in names:
            return str(table)
    return None


def all_tables() -> set[str]:
    """The tables of the index."""
    named = "name FROM sqlite_master WHERE type = 'table'"
    if is_postgres():
        named = "tablename FROM pg_tables WHERE schemaname = current_schema()"
    return {row[0] for row in tables.database.obj.execute_sql(f"SELECT {named}")}


def call_all(world: World, found: Watched) -> None:
    """Every rpc by somebody who may, with what it needs made before."""
    for rpc, method in METHODS.items():
        access = ACCESS[method.name]
        found.doing = "set-up"
        cell = Cell(world, access, _caller(access))
        request = BUILDERS[method.name](cell)
        found.doing = f"rpc {method.name}"
        world.call(rpc, request, cell.token)
        found.doing = "set-up"


def _caller(access: Any) -> Column:
    return next(
        column
        for column in (Column.NOBODY, Column.BOSS, Column.EXAMINER)
        if (not access.roles and column is Column.NOBODY)
        or (access.roles and column.role is not None and any(matrix.has(column.role, role) for role in access.roles))
    )


def ask_pages(world: World, found: Watched) -> None:
    """Every HTTP route that reads the index, beside those of the rpcs."""
    found.doing = "set-up"
    cell = Cell(world, ACCESS["BatchCreateGoods"], Column.BOSS)
    goods_id, token = cell.goods_id, {"Authorization": f"Bearer {cell.token}"}
    base = base_of(world.running.ready.chain_id, world.running.ready.contract)
    since = "GE_recordTime=2020-01-01T00:00:00Z"
    routes = {
        "/t/ID": f"/t/{goods_id}",
        "/t/ID/qr.svg": f"/t/{goods_id}/qr.svg",
        "/ipfs/CID": "/ipfs/bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
        "/epcis/events": f"/epcis/events?{since}",
        "/epcis/events of an EPC": f"/epcis/events?MATCH_epc={base}:{goods_id}&{since}",
        "/epcis/capture": "/epcis/capture?perPage=10",
    }
    with httpx.Client(base_url=f"http://{world.running.ready.http}", timeout=60) as client:
        for name, path in routes.items():
            found.doing = f"GET {name}"
            answer = client.get(path, headers=token)
            assert answer.status_code in (200, 404), f"{path}: {answer.status_code} {answer.text}"
    found.doing = "set-up"


def set_based(world: World, found: Watched) -> None:
    """A thousand goods at once: made, moved one by one until no ten are in the same state, and moved together."""
    found.doing = "set-up"
    cell = Cell(world, ACCESS["BatchCreateGoods"], Column.BOSS)
    token = cell.token
    assert token is not None
    found.doing = "a thousand goods made"
    made = world.ask("BatchCreateGoods", token, serial_id=cell.serial_id, sum=1_000)
    ids = [one.value for one in made.ids]
    found.doing = "set-up"
    with tables.database.atomic():
        tables.database.execute_sql(f"UPDATE goods SET times = id % 500 + 1 WHERE id >= {ids[0]}")
    found.doing = "a thousand goods moved"
    world.ask("BatchCirc", token, goods_ids=ids, circ_type=1)
    found.doing = "set-up"


@contextmanager
def collected(folder: Path, **options: Any) -> Iterator[Watched]:
    """All that was run by a node that answered everything and was started again, on its index that is still open."""
    with watched() as found:
        with matrix.world(folder / "data", **options) as world:
            call_all(world, found)
            ask_pages(world, found)
            pending = "SELECT COUNT(*) FROM outbox WHERE state NOT IN ('final', 'reverted')"
            eventually(lambda: tables.database.obj.execute_sql(pending).fetchone() == (0,), 120)
            set_based(world, found)
            found.doing = "end"
        found.doing = "start again"
        with started(Config(data_dir=folder / "data", grpc="127.0.0.1:0", http="127.0.0.1:0", **options)):
            found.doing = "end"
            yield found


def ways(statements: Iterable[Statement]) -> str:
    """The tables that statements look into, each with the keys that they find their rows by."""
    found: dict[str, set[str]] = {}
    names = all_tables()
    for statement in statements:
        for step in plan(statement):
            match, way = _FOUND.match(step), _WAY.search(step)
            table = _table(statement.sql, match[2], names) if match is not None else None
            if match is not None and table is not None:
                is_end = match[1] == "SEARCH" or _FIRST.fullmatch(statement.sql)
                whole = "an end of id" if is_end else "all rows"
                found.setdefault(table, set()).add(whole if way is None else way[1] or "id")
    return ", ".join(f"{table} ({', '.join(sorted(keys))})" for table, keys in sorted(found.items()))


def main() -> int:
    """Print what each rpc, route and worker runs, and how; with ``--table`` in short, for a page."""
    short_form = sys.argv[1:] == ["--table"]
    if short_form:
        print("| what | tables, and the key that finds their rows |\n| --- | --- |")
    with tempfile.TemporaryDirectory() as folder, collected(Path(folder)) as found, closing(tables.database):
        for name, statements in sorted(found.by.items()):
            if short_form:
                if name.startswith(("rpc ", "GET ", "worker ")):
                    print(f"| {name} | {ways(statements.values())} |")
                continue
            print(f"\n## {name}\n")
            for text, statement in statements.items():
                steps = plan(statement)
                if steps:
                    print(text)
                    print("".join(f"    {step}\n" for step in steps), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
