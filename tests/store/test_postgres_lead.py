"""The lead in PostgreSQL: one process of all has it, until it or its connection ends, and a new term ends it too."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from node.store.advisory import CLASS_LEAD, Lead
from node.store.db import Store
from node.store.lead import Fenced, LeadLost
from node.store.postgres import Postgres
from tests.support.node import eventually
from tests.support.postgres import Server

from . import rows

HOLDERS = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND classid = {CLASS_LEAD} AND granted"
TAKER = """
import sys
from node.store.postgres import Postgres
lead = Postgres(sys.argv[1]).lead("chain")
print(lead.take(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def mine(url: str) -> Iterator[Lead]:
    beside = Postgres(url)
    yield beside.lead("chain")
    beside.close_all()


@pytest.fixture
def yours(url: str) -> Iterator[Lead]:
    beside = Postgres(url)
    yield beside.lead("chain")
    beside.close_all()


def test_one_has_it_until_it_lets_go(mine: Lead, yours: Lead, url: str) -> None:
    assert not mine.holds()
    assert mine.take()
    assert mine.take()
    assert not yours.take()
    assert mine.holds()
    assert not yours.holds()
    with closing(Store(url)) as index:
        other = index.lead("opening")
        assert other.take()
        other.give_up()
    mine.give_up()
    mine.give_up()
    assert not mine.holds()
    assert yours.take()


def test_it_is_given_up_before_the_server_sees_its_connection_close(
    mine: Lead, yours: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mine.take()
    with monkeypatch.context() as without:
        without.setattr(psycopg.Connection, "close", lambda self: left_open.append(self))
        left_open: list[psycopg.Connection] = []
        mine.give_up()
    assert yours.take()
    for connection in left_open:
        connection.close()


def test_a_killed_process_has_it_no_longer(mine: Lead, url: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", TAKER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        assert not mine.take()
        process.kill()
        process.wait(30)
        eventually(mine.take)
    assert mine.holds()


def test_it_is_lost_with_its_connection_and_can_be_taken_again(mine: Lead, yours: Lead, server: Server) -> None:
    assert mine.take()
    with server.admin() as admin:
        ((holder,),) = admin.execute(HOLDERS).fetchall()
        assert admin.execute("SELECT pg_terminate_backend(%s, 10000)", [holder]).fetchone() == (True,)
    assert yours.take()
    assert not mine.holds()
    assert not mine.take()
    yours.give_up()
    assert eventually(mine.take)


def test_it_is_nobodys_while_the_server_is_away(mine: Lead, yours: Lead, server: Server) -> None:
    assert mine.take()
    server.stop()
    try:
        assert not mine.holds()
        assert not mine.take()
        assert not yours.take()
    finally:
        server.start()
    assert yours.take()
    assert not mine.take()


def test_indexes_in_one_database_have_leads_of_their_own(mine: Lead, url: str, server: Server) -> None:
    with server.admin(url.partition("@/")[2].partition("?")[0]) as admin:
        admin.execute("CREATE SCHEMA second")
    beside = Postgres(f"{url}&options=-csearch_path%3Dsecond")
    try:
        assert mine.take()
        assert beside.lead("chain").take()
    finally:
        beside.close_all()


def test_who_led_before_writes_nothing_more(url: str) -> None:
    with closing(Store(url)) as index:
        first = Fenced(index, "chain", 1, "first")
        with first.write():
            rows.next_transaction()
        second = Fenced(index, "chain", 2, "second")
        with pytest.raises(LeadLost, match=f"term {second.term}"), first.write():
            rows.next_transaction()
        with second.write():
            rows.next_transaction()
        assert second.term == first.term + 1
