"""Nothing that a node does for somebody reads a table from end to end that grows with goods, circs, people or calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api import plans
from tests.api.matrix import METHODS
from tests.api.plans import PASSES, PASSES_OF_POSTGRES, SMALL, Statement, Watched
from tests.support.postgres import Server

WITHOUT_INDEX = {"ContractName", "ListModels", "ListScanAlerts", "Predict"}
"""Rpcs that may ask nothing of the index beside who calls."""
STATEMENTS_OF_A_THOUSAND = 120


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("plans")
    if request.param == "sqlite":
        with plans.collected(folder) as made:
            yield made
        return
    server: Server = request.getfixturevalue("server")
    name = server.database()
    with plans.collected(folder, db=server.url(name)) as made:
        yield made
    server.drop(name)


def _faults(name: str, statements: Iterator[Statement]) -> list[str]:
    big = plans.all_tables() - set(SMALL)
    passes = {**PASSES, **(PASSES_OF_POSTGRES if plans.is_postgres() else {})}
    return [
        f"{name} reads {table} from end to end: {statement.sql}"
        for statement in statements
        for table in plans.scanned(statement.sql, plans.plan(statement), big)
        if (name, table) not in passes
    ]


def test_every_rpc_finds_its_rows_by_an_index(found: Watched) -> None:
    rpcs = {f"rpc {method.name}" for method in METHODS.values()}
    assert rpcs - set(found.by) <= {f"rpc {name}" for name in WITHOUT_INDEX}
    asked = [name for name in found.by if name.startswith(("rpc ", "GET ", "a thousand "))]
    assert [fault for name in asked for fault in _faults(name, iter(found.by[name].values()))] == []


def test_so_does_every_worker_and_the_start_of_a_node(found: Watched) -> None:
    workers = {name for name in found.by if name.startswith("worker ")}
    assert workers >= {"worker sender", "worker confirmer", "worker feed", "worker writer"}
    names = [*workers, "start again"]
    assert [fault for name in names for fault in _faults(name, iter(found.by[name].values()))] == []


def test_a_batch_is_a_few_statements_not_one_for_each_goods(found: Watched) -> None:
    for name in ("a thousand goods made", "a thousand goods moved"):
        assert 0 < found.runs[name] <= STATEMENTS_OF_A_THOUSAND, name


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT id FROM goods WHERE state = 'x'", ["goods"]),
        ("SELECT g.id FROM goods AS g JOIN serial s ON s.id = g.serial_id WHERE g.times = 3", ["goods"]),
        ('SELECT "t1"."id" FROM "circ" AS "t1" WHERE "t1"."reason" = \'x\'', ["circ"]),
        ("UPDATE circ SET reason = '' WHERE status = 'pending'", ["circ"]),
        ("SELECT COUNT(*) FROM outbox", ["outbox"]),
        ("SELECT id FROM goods WHERE id = 7", []),
        ("SELECT name FROM setting", []),
    ],
)
@pytest.mark.usefixtures("found")
def test_a_scan_is_seen(sql: str, tables: list[str]) -> None:
    big = plans.all_tables() - set(SMALL)
    assert plans.scanned(sql, plans.plan(Statement(sql, ())), big) == tables
