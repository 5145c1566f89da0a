"""Calls with an idempotency key: done once, in one transaction with the answer, for 7 days. On an index alone."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import peewee
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.domain.records import User
from node.domain.roles import Role
from node.errors import Reason, VTraceError
from node.flow import once as rules
from node.flow.once import KEPT_MICROS, KeyedCall, Once
from node.store import people, tables
from node.store.db import Store
from node.store.seal import Seal

MASTER_KEY = bytes(range(32))
THREADS = 8
JOIN_SECONDS_MAX = 60


class Boom(Exception):
    pass


@dataclass
class Shop:
    """Something to do once: add a material, and answer its id and how often anything was added."""

    path: Path
    now: int = 1_000
    woken: int = 0
    store: Store = field(init=False)
    once: Once = field(init=False)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        self.store = Store(self.path)
        self.once = Once(self.store, Seal(MASTER_KEY), lambda: self.now, self._submitted)

    def close(self) -> None:
        self.store.close()

    def _submitted(self) -> None:
        self.woken += 1

    def call(
        self,
        request: bytes = b"request",
        *,
        key: str = "key",
        scope: str = "user 1",
        rpc: str = "OrgAuth",
        caller: User | None = None,
        fails: bool = False,
    ) -> bytes:
        def work() -> bytes:
            with self.store.write():
                number = tables.Material.select().count() + 1
                tables.Material.create(name=f"{scope} {key} {number}", created_at=self.now)
            if fails:
                raise Boom
            return b"%d after %b" % (number, request)

        return self.once.run(KeyedCall(rpc, scope, key, caller, Reason.ENTRY_DUPLICATE), request, work)

    @property
    def made(self) -> int:
        return int(tables.Material.select().count())

    @property
    def kept(self) -> int:
        return int(tables.Idempotency.select().count())


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path / "index.sqlite3")
    yield made
    made.close()


def test_the_same_call_gives_the_same_answer_also_after_a_restart(shop: Shop) -> None:
    first = shop.call()
    assert shop.call() == first
    shop.store.close()
    shop.open()
    assert shop.call() == first
    assert (shop.made, shop.kept) == (1, 1)


def test_another_request_with_the_key_is_refused(shop: Shop) -> None:
    shop.call()
    for request, rpc, told in ((b"other", "OrgAuth", "another OrgAuth"), (b"request", "Member", "the rpc OrgAuth")):
        with pytest.raises(VTraceError, match=f"idempotency-key: key was given with {told} before") as refused:
            shop.call(request, rpc=rpc)
        assert refused.value.status.value == "ALREADY_EXISTS"
        assert refused.value.metadata == {"field": "idempotency-key", "value": "key", "rpc": "OrgAuth"}
    assert (shop.made, shop.kept) == (1, 1)


def test_the_name_of_the_rpc_and_the_request_are_told_apart(shop: Shop) -> None:
    shop.call(b"Bx", rpc="A")
    with pytest.raises(VTraceError):
        shop.call(b"x", rpc="AB")


def test_everybody_has_keys_of_their_own(shop: Shop) -> None:
    first = shop.call(scope="user 1")
    assert shop.call(scope="user 11") != first
    assert shop.call(scope="user 1") == first
    assert shop.made == 2


def test_a_failed_call_leaves_the_key_free(shop: Shop) -> None:
    with pytest.raises(Boom):
        shop.call(fails=True)
    assert (shop.made, shop.kept) == (0, 0)
    assert shop.call(b"another request") == b"1 after another request"


def test_what_is_made_and_its_answer_are_stored_together_or_not_at_all(shop: Shop) -> None:
    tables.database.execute_sql(
        "CREATE TRIGGER full BEFORE INSERT ON idempotency BEGIN SELECT RAISE(ABORT, 'no room'); END"
    )
    with pytest.raises(peewee.IntegrityError, match="no room"):
        shop.call()
    assert (shop.made, shop.kept, shop.woken) == (0, 0, 0)
    tables.database.execute_sql("DROP TRIGGER full")
    assert shop.call() == b"1 after request"


def test_the_sender_is_told_after_the_commit(shop: Shop) -> None:
    seen: list[int] = []

    def submitted() -> None:
        seen.append(0 if tables.database.obj.in_transaction() else shop.kept)

    shop.once = Once(shop.store, Seal(MASTER_KEY), lambda: shop.now, submitted)
    shop.call()
    assert seen == [1]


def test_of_many_at_once_one_does_it_and_all_get_its_answer(shop: Shop) -> None:
    at_once, answers = threading.Barrier(THREADS), []

    def run() -> None:
        at_once.wait(JOIN_SECONDS_MAX)
        answers.append(shop.call())
        shop.store.close_thread()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_SECONDS_MAX)
        assert not thread.is_alive()
    assert answers == [b"1 after request"] * THREADS
    assert (shop.made, shop.kept) == (1, 1)


def test_a_key_is_kept_for_seven_days(shop: Shop) -> None:
    first = shop.call()
    shop.now += KEPT_MICROS - 1
    assert shop.call() == first
    shop.now += 1
    assert shop.call() == b"2 after request"
    assert shop.kept == 1
    shop.now += KEPT_MICROS
    assert shop.call(b"another", rpc="Member") == b"3 after another"


def test_old_answers_go_in_portions(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "SWEEP_ROWS", 40)
    for number in range(60):
        shop.call(key=f"old {number}")
    shop.now += KEPT_MICROS + 1
    for number in range(4):
        shop.call(key=f"new {number}")
    assert shop.kept == 24  # the 64th row swept the first 40 away
    for number in range(64):
        shop.call(key=f"newer {number}")
    assert shop.kept == 68
    assert {one.created_at for one in tables.Idempotency.select()} == {shop.now}


def test_a_caller_whose_tokens_are_gone_gets_no_answer(shop: Shop) -> None:
    with shop.store.write():
        caller = people.add_user(username="u", nickname="n", role=Role.NORMAL, password_hash="", now=0)
    shop.call(caller=caller)
    with shop.store.write():
        people.revoke_tokens(caller.id)
    with pytest.raises(VTraceError, match="revoked") as refused:
        shop.call(caller=caller)
    assert refused.value.reason is Reason.TOKEN_EXPIRED


def test_the_index_alone_tells_neither_request_nor_answer(shop: Shop) -> None:
    shop.call(b"a password")
    (row,) = tables.Idempotency.select()
    shop.close()
    assert b"a password" not in b"".join(path.read_bytes() for path in shop.path.parent.iterdir())
    shop.open()
    plain = (b"a password", b"OrgAuth\0a password")
    assert bytes(row.request_digest) not in {hashlib.sha256(request).digest() for request in plain}


_CALLS = st.tuples(
    st.sampled_from(["user 1", "user 2"]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["OrgAuth", "Member"]),
    st.sampled_from([b"x", b"y"]),
    st.booleans(),
    st.integers(0, 4),
)


@given(st.lists(_CALLS, max_size=25))
@settings(max_examples=60, deadline=None)
def test_whatever_is_called_in_whatever_order(calls: list[tuple[str, str, str, bytes, bool, int]]) -> None:
    """Against a dictionary: what is answered, what is refused, and how much is made."""
    with TemporaryDirectory() as folder, closing(Shop(Path(folder) / "index.sqlite3")) as shop:
        known: dict[tuple[str, str], tuple[str, bytes, int, bytes]] = {}
        made = 0
        for scope, key, rpc, request, fails, days in calls:
            shop.now += days * 86_400_000_000
            before = known.get((scope, key))
            if before is not None and shop.now - before[2] >= KEPT_MICROS:
                before = None
            try:
                answer = shop.call(request, key=key, scope=scope, rpc=rpc, fails=fails)
            except VTraceError:
                assert before is not None
                assert before[:2] != (rpc, request)
                continue
            except Boom:
                assert before is None
                assert fails
                continue
            if before is None:
                made += 1
                assert answer == b"%d after %b" % (made, request)
                known[scope, key] = (rpc, request, shop.now, answer)
            else:
                assert before[:2] == (rpc, request)
                assert answer == before[3]
            assert shop.made == made
