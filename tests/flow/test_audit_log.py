"""The audit log: what is kept, what tells that it was changed, and its way to the chain."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from node.chain.rpc import Chain
from node.chain.transport import ChainUnavailable
from node.cli import main
from node.cli.options import EXIT_COULD_NOT_CHECK, EXIT_DIFFERENCES
from node.clock import now_micros
from node.config import EMBEDDED
from node.domain.log_entry import Happened
from node.domain.records import TxKind, TxState
from node.errors import IndexUnavailable
from node.flow import journal, log_check
from node.flow.anchor import DAY_MICROS, FORGET_ROWS, ORIGIN_KEPT_MICROS, Anchorer
from node.flow.journal import QUEUE_MAX, REFUSED_EVERY_MICROS, REFUSED_MAX, Journal
from node.flow.wakes import SENDER
from node.store import log, outbox, tables
from node.store.db import Store
from node.store.seal import Seal
from tests.flow.test_reindex import is_equal, no_differences, reindex
from tests.flow.world import Net, Running, config, started
from tests.support import people
from tests.support.node import eventually

SEAL = Seal(b"\1" * 32)
NOW = 1_760_000_000_000_000
HOME = "203.0.113.7"


class Book:
    """A log of an index without a node, and a clock that stands."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = Store(path)
        self.now = NOW
        self.journal = Journal(self.store, SEAL, lambda: self.now)

    def bodies(self) -> list[dict[str, object]]:
        return [json.loads(kept.body) for kept in log.entries()]

    def check(self) -> log_check.Checked:
        def no_chain() -> Chain:
            raise ChainUnavailable("away")

        return log_check.check(self.store, SEAL, no_chain)

    def write(self, *news: Happened) -> None:
        with self.store.write():
            log.append(news, SEAL)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    made = Book(tmp_path / "index.sqlite3")
    yield made
    made.store.close()


def happened(number: int) -> Happened:
    return Happened(NOW + number, f"u{number}", "CreateCirc", "OK", "", {"goods": number}, HOME)


def test_what_is_written_is_numbered_chained_and_verified(book: Book) -> None:
    book.journal.done("u1", "CreateCirc", {"goods": 1}, HOME)
    book.journal.done("u2", "Token", {}, "")
    assert not book.journal.step()
    book.write(happened(3))
    assert [(body["number"], body["who"]) for body in book.bodies()] == [(1, "u1"), (2, "u2"), (3, "u3")]
    checked = book.check()
    assert (checked.entries, checked.different, checked.unchecked, checked.anchors) == (3, 0, [], 0)
    assert checked.head == log.head()[1]
    assert [entry.get("address") for entry in log_check.entries(SEAL, "", None, None)] == [HOME, None, HOME]


def test_the_index_holds_no_address_that_can_be_read(book: Book) -> None:
    book.write(happened(1))
    book.store.close()
    held = b"".join(path.read_bytes() for path in book.path.parent.iterdir())
    assert b"CreateCirc" in held
    assert HOME.encode() not in held


TAMPERING: dict[str, tuple[str, str]] = {
    "a word": ("UPDATE log_entry SET body = replace(body, 'u3', 'u4') WHERE number = 3", "entry 3: changed"),
    "a hash": ("UPDATE log_entry SET hash = zeroblob(32) WHERE number = 3", "entry 3: changed"),
    "one removed": ("DELETE FROM log_entry WHERE number = 3", "entry 3 to 3: removed"),
    "the first removed": ("DELETE FROM log_entry WHERE number = 1", "entry 1 to 1: removed"),
    "one put in": (
        "INSERT INTO log_entry SELECT 6, body, hash FROM log_entry WHERE number = 2",
        "entry 6: changed, or put in",
    ),
    "two swapped": (
        "UPDATE log_entry SET number = CASE number WHEN 2 THEN -3 ELSE -2 END WHERE number IN (2, 3)",
        "entry 1: ",
    ),
    "rubbish": ("UPDATE log_entry SET body = '[]' WHERE number = 3", "entry 3: is none"),
    "an address of another entry": (
        "UPDATE log_origin SET sealed = (SELECT sealed FROM log_origin WHERE number = 2) WHERE number = 3",
        "entry 3: the address that is kept beside it is damaged",
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_whatever_is_changed_is_told(book: Book, what: str) -> None:
    sql, told = TAMPERING[what]
    book.write(*(happened(number) for number in range(1, 6)))
    assert book.check().different == 0
    with book.store.write():
        tables.run(sql)
        tables.run("UPDATE log_entry SET number = -number WHERE number < 0")
    if what == "two swapped":
        told = "entry 2: changed"
    assert any(told in line for line in book.check().differences), book.check().differences


def test_an_address_that_is_put_in_the_place_of_another_is_told(book: Book) -> None:
    book.write(happened(1))
    with book.store.write():
        forged = SEAL.close("log 1 from", bytes(16) + b"198.51.100.9")
        tables.run("UPDATE log_origin SET sealed = ?", forged)
    assert "another than it says" in book.check().differences[0]


def test_a_log_that_was_written_anew_is_told_by_its_anchor(book: Book) -> None:
    """Who can change the index can make a chain that follows; what went on chain does not change with it."""
    book.write(*(happened(number) for number in range(1, 4)))
    number, head = log.head()
    with book.store.write():
        log.keep_anchor(log.Anchor(number, head, NOW, "0x" + "1" * 64))
        tables.run("DELETE FROM log_entry")
        tables.run("DELETE FROM log_origin")
    book.write(*(replace(happened(number), who="u9") for number in range(1, 4)))
    checked = book.check()
    assert checked.differences == ["the entry 3 that was anchored at 2025-10-09T08:53:20.000000Z is another now"]
    with book.store.write():
        tables.run("DELETE FROM log_entry WHERE number = 3")
    assert "is not there any more" in book.check().differences[0]


def test_equal_refusals_are_one_entry_and_others_are_counted(book: Book) -> None:
    for _ in range(1_000):
        book.journal.refused("", "Token", "UNAUTHENTICATED", "PASSWD_ERR", HOME)
    for number in range(REFUSED_MAX + 30):
        book.journal.refused("", "CreateCirc", "UNAUTHENTICATED", "TOKEN_EXPIRED", f"198.51.100.{number}")
    book.journal.step()
    bodies = book.bodies()
    assert (bodies[0]["call"], bodies[0]["times"]) == ("Token", 1_000)
    assert len(bodies) == REFUSED_MAX + 1
    assert (bodies[-1]["result"], bodies[-1]["times"]) == (journal.LEFT_OUT, 31)
    book.journal.refused("", "Token", "UNAUTHENTICATED", "PASSWD_ERR", HOME)
    book.journal.step()
    assert len(book.bodies()) == len(bodies)
    book.now += REFUSED_EVERY_MICROS
    book.journal.step()
    assert len(book.bodies()) == len(bodies) + 1


def test_what_the_index_could_not_take_is_written_when_it_can(book: Book, monkeypatch: pytest.MonkeyPatch) -> None:
    book.journal.done("u1", "CreateCirc", {}, HOME)

    def away(_: Callable[[], object]) -> object:
        raise IndexUnavailable("away")

    with monkeypatch.context() as patched:
        patched.setattr(book.store, "together", away)
        for _ in range(2):
            with pytest.raises(IndexUnavailable):
                book.journal.step()
    for number in range(QUEUE_MAX + 5):
        book.journal.done(f"u{number}", "CreateCirc", {}, "")
    book.journal.drain()
    bodies = book.bodies()
    assert len(bodies) == 1 + QUEUE_MAX + 1
    assert [bodies[0]["who"], bodies[1]["who"], bodies[-1]["who"]] == ["u1", "u0", f"u{QUEUE_MAX - 1}"]
    assert {body.get("times") for body in bodies if body["result"] == journal.LEFT_OUT} == {5}


def test_forgetting_where_calls_came_from_breaks_nothing(book: Book) -> None:
    book.write(*(happened(number % 3) for number in range(30)))
    with book.store.write():
        log.forget_origins_of("u1")
    assert {entry["who"] for entry in log_check.entries(SEAL, "", None, None) if "address" in entry} == {"u0", "u2"}
    with book.store.write():
        assert log.forget_origins(NOW + 10, 5) == 5
        assert log.forget_origins(NOW + 10, 100) == 15
    assert log.oldest_origin() is None
    assert (book.check().entries, book.check().different) == (30, 0)


def later(running: Running, micros: int) -> Anchorer:
    """The node's own anchoring at another time."""
    node = running.node
    return Anchorer(node._store, node._ledger, lambda: now_micros() + micros, lambda: node.leading.wake(SENDER))


def test_the_head_goes_on_chain_once_a_day_and_only_with_news(net: Net, tmp_path: Path) -> None:
    with started(config(tmp_path / "data", net.url, net.key_file)) as running:
        people.register(running.client)
        eventually(lambda: log.head()[0])
        before = outbox.next_nonce(running.node._ledger.lanes.registrar)
        later(running, 0).step()
        assert not log.anchors()
        later(running, DAY_MICROS).step()
        (anchor,) = log.anchors()
        assert (anchor.number, anchor.hash) == log.head()
        later(running, DAY_MICROS).step()
        later(running, 3 * DAY_MICROS).step()
        assert log.anchors() == [anchor]
        assert outbox.next_nonce(running.node._ledger.lanes.registrar) == (before or 0) + 1
        net.settle()
        states = outbox.known_by([anchor.tx_hash])
        assert states[anchor.tx_hash][0] is TxState.FINAL
        people.register(running.client)
        eventually(lambda: log.head()[0] > anchor.number)
        checked = log_check.check(running.node._store, _seal(tmp_path), lambda: net.chain)
        assert (checked.different, checked.unchecked, checked.anchored) == (0, [], anchor)
        assert checked.entries - anchor.number == 1

        later(running, 2 * DAY_MICROS).step()
        assert len(log.anchors()) == 2
        with sqlite3.connect(tmp_path / "data" / "index.sqlite3") as forger:
            forger.execute("UPDATE log_anchor SET hash = zeroblob(32) WHERE number = ?", [anchor.number])
        forged = log_check.check(running.node._store, _seal(tmp_path), lambda: net.chain)
        assert any("does not anchor entry" in line for line in forged.differences)
        assert any("is another now" in line for line in forged.differences)


def test_an_anchor_is_noted_with_its_transaction_or_not_at_all(
    net: Net, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with started(config(tmp_path / "data", net.url, net.key_file)) as running:
        people.register(running.client)
        eventually(lambda: log.head()[0])

        def dies(_: log.Anchor) -> None:
            raise IndexUnavailable("the process ends here")

        with monkeypatch.context() as patched:
            patched.setattr(log, "keep_anchor", dies)
            with pytest.raises(IndexUnavailable):
                later(running, DAY_MICROS).step()
        kinds = [row[0] for row in tables.run("SELECT kind FROM outbox").fetchall()]
        assert TxKind.ANCHOR.value not in kinds
        later(running, DAY_MICROS).step()
        assert len(log.anchors()) == 1
        net.settle()
        assert log_check.check(running.node._store, _seal(tmp_path), lambda: net.chain).anchored is not None


def test_a_rebuilt_index_knows_its_anchor_and_the_audit_finds_nothing(net: Net, tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with started(config(data_dir, net.url, net.key_file)) as running:
        maker = people.maker(running.client)
        (goods_id,) = maker.goods(1)
        people.settled(running.client, goods_id)
        eventually(lambda: log.head()[0])
        later(running, DAY_MICROS).step()
        (anchor,) = log.anchors()
        net.settle()
    is_equal(net, data_dir)
    with closing(sqlite3.connect(data_dir / "index.sqlite3")) as opened, opened:
        assert opened.execute("DELETE FROM outbox WHERE kind = 'anchor'").rowcount == 1
    code, said = reindex(net, data_dir)
    assert code == 0, said
    with started(config(data_dir, net.url)) as running:
        assert outbox.known_by([anchor.tx_hash])[anchor.tx_hash][0] is TxState.FINAL
        assert tables.run("SELECT count(*) FROM outbox WHERE kind = 'anchor'").fetchone() == (1,)
        running.client.with_token(maker.boss.client.token).call("CreateCirc", goods_id=goods_id, circ_type=1)
        assert len(people.settled(running.client, goods_id)) == 2
        no_differences(net, running)
        checked = log_check.check(running.node._store, _seal(tmp_path), lambda: net.chain)
        assert (checked.anchored, checked.different) == (anchor, 0)


def verify(data_dir: Path, *args: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["log", "verify", "--data-dir", str(data_dir), *args])
    return done.exit_code, done.output


def test_the_log_of_a_stopped_node_is_verified_on_its_own_chain(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with started(config(data_dir, EMBEDDED)) as running:
        people.register(running.client)
        eventually(lambda: log.head()[0])
        later(running, DAY_MICROS).step()
        (anchor,) = log.anchors()
        eventually(lambda: outbox.known_by([anchor.tx_hash])[anchor.tx_hash][0] is TxState.FINAL)
    code, said = verify(data_dir)
    assert (code, f"transaction {anchor.tx_hash}" in said) == (0, True), said
    code, said = verify(data_dir, "--rpc", "http://127.0.0.1:1")
    assert (code, "NOT CHECKED 1 anchors" in said) == (EXIT_COULD_NOT_CHECK, True), said
    with closing(sqlite3.connect(data_dir / "index.sqlite3")) as opened, opened:
        opened.execute("UPDATE log_entry SET body = replace(body, 'OK', 'NO') WHERE number = 1")
    code, said = verify(data_dir)
    assert (code, "DIFFERS entry 1: changed" in said) == (EXIT_DIFFERENCES, True), said


def test_addresses_are_forgotten_after_their_time(book: Book) -> None:
    book.write(*(happened(number) for number in range(FORGET_ROWS + 7)))
    book.now = NOW + ORIGIN_KEPT_MICROS + FORGET_ROWS + 3
    ledger: object = None
    anchorer = Anchorer(book.store, ledger, lambda: book.now, lambda: None)  # type: ignore[arg-type]
    with book.store.write():
        number, head = log.head()
        log.keep_anchor(log.Anchor(number, head, book.now, "0x" + "1" * 64))
    assert anchorer.step()
    assert not anchorer.step()
    left = [entry["number"] for entry in log_check.entries(SEAL, "", None, None) if "address" in entry]
    assert left == list(range(FORGET_ROWS + 4, FORGET_ROWS + 8))


def _seal(tmp_path: Path) -> Seal:
    return Seal(bytes.fromhex((tmp_path / "data" / "master.key").read_text().strip()))
