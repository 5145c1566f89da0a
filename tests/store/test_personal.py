"""Personal data in the index: sealed under row and column, found by a keyed index, and left open by older versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import peewee
import pytest
from playhouse.migrations import Runner

from node.domain.records import Contact, Personal
from node.errors import SetupError
from node.store import personal, sealed, tables, unsealed
from node.store.db import HISTORY, MIGRATIONS, Store
from node.store.rebuild import OldIndex, Places, Rebuild
from node.store.seal import Seal
from node.store.sqlite import PRAGMAS

from . import rows

SEAL = Seal(b"\7" * 32)
PHONES = ("13800138001", "13800138002", "13800138003")
OPEN = ("mei@example.com", "杨梅", "王建国", "0871-6512345", *PHONES)
"""What stood in the index as it was said."""
NUMBER = "530102199001010018"


class Undo(Exception):
    """Takes a transaction back."""


@pytest.fixture(autouse=True)
def _as_built_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some systems' SQLite overwrites what is deleted; most don't."""
    monkeypatch.setitem(PRAGMAS, "secure_delete", 0)


@pytest.fixture
def known(store: Store) -> Store:
    """Users 1 and 2, of whom the first has told all."""
    rows.prepared(store, 2, 1)
    with store.write():
        personal.add(SEAL, 1, PHONES[0])
        personal.change(SEAL, 1, email="mei@example.com", realname="杨梅", resident_id=NUMBER)
        personal.add(SEAL, 2, PHONES[1])
        personal.keep_contact(SEAL, 1, "王建国", "0871-6512345")
    return store


@pytest.mark.usefixtures("known")
def test_what_was_told_is_known() -> None:
    assert personal.of(SEAL, [2, 1, 9]) == {
        1: Personal(PHONES[0], "mei@example.com", "杨梅", NUMBER),
        2: Personal(PHONES[1], "", "", ""),
        9: personal.NOTHING_KNOWN,
    }
    assert (personal.is_verified(1), personal.is_verified(2), personal.is_verified(9)) == (True, False, False)
    assert [personal.user_with_phone(SEAL, phone) for phone in PHONES] == [1, 2, None]
    assert personal.contact(SEAL, 1) == Contact("王建国", "0871-6512345")
    assert personal.contact(SEAL, 9) == Contact("", "")


def test_a_value_opens_in_its_own_row_and_column_alone(known: Store) -> None:
    for change in (
        "UPDATE person SET phone_sealed = (SELECT phone_sealed FROM person WHERE user_id = 2) WHERE user_id = 1",
        "UPDATE person SET email_sealed = realname_sealed WHERE user_id = 1",
        "UPDATE person SET resident_id_sealed = phone_sealed WHERE user_id = 2",
    ):
        with suppress(Undo), known.write():
            tables.run(change)
            with pytest.raises(SetupError, match="does not open person"):
                personal.of(SEAL, [1, 2])
            raise Undo
    with known.write():
        tables.run("UPDATE org_contact SET legal_phone_sealed = legal_name_sealed")
    with pytest.raises(SetupError, match="does not open org 1 legal_phone"):
        personal.contact(SEAL, 1)


@pytest.mark.usefixtures("known")
def test_the_index_of_a_phone_is_keyed() -> None:
    assert personal.user_with_phone(Seal(bytes(32)), PHONES[0]) is None
    assert SEAL.index("phone", PHONES[0]) != SEAL.index("email", PHONES[0])
    assert SEAL.index("a", "b") != SEAL.index("a\0b", "")


def test_every_sealed_column_is_sealed_anew_with_a_new_key() -> None:
    """Whoever adds a sealed column adds it to the list, or a change of the master key loses it."""
    named = {(table, column) for table, _, column, _ in sealed.COLUMNS} | {("idempotency", "answer_sealed")}
    there = {
        (table._meta.table_name, field.column_name)
        for table in tables.TABLES
        for field in table._meta.sorted_fields
        if "sealed" in field.column_name
    }
    assert there == named


def test_all_is_sealed_under_another_key(known: Store) -> None:
    new = Seal(b"\x08" * 32)
    before = personal.of(SEAL, [1, 2])
    scope, gone = sealed.phone_scope(SEAL, PHONES[0]), sealed.phone_scope(SEAL, "13999999999")
    with known.write():
        sealed.remember_check(known, SEAL)
        tables.SealedKey.create(name="token", sealed=SEAL.close("token", b"seed"))
        tables.Actor.update(key_sealed=SEAL.close(sealed.actor_key(1), b"key")).where(tables.Actor.id == 1).execute()
        tables.Actor.update(key_sealed=b"").where(tables.Actor.id == 2).execute()
        for whose in (scope, gone, "user 1"):
            answer = SEAL.close(sealed.answer(whose, "k"), b"answer")
            tables.Idempotency.create(
                scope=whose, key="k", rpc="Register", request_digest=b"", answer_sealed=answer, created_at=0
            )
        # Two keys, five values of persons, two of a contact, and the answers of those who are known.
        assert sealed.seal_anew(known, SEAL, new) == 1 + 1 + 5 + 2 + 2
    assert personal.of(new, [1, 2]) == before
    assert personal.contact(new, 1) == Contact("王建国", "0871-6512345")
    assert [personal.user_with_phone(new, phone) for phone in PHONES] == [1, 2, None]
    assert personal.user_with_phone(SEAL, PHONES[0]) is None
    assert new.open("token", bytes(tables.SealedKey.get().sealed)) == b"seed"
    assert new.open("actor 1", bytes(tables.Actor.get_by_id(1).key_sealed)) == b"key"
    answers = {row.scope: bytes(row.answer_sealed) for row in tables.Idempotency.select()}
    assert answers.keys() == {sealed.phone_scope(new, PHONES[0]), "user 1"}
    assert all(new.open(sealed.answer(whose, "k"), answer) == b"answer" for whose, answer in answers.items())
    check = sealed.check_of(known)
    assert check is not None
    assert (new.opens(*check), SEAL.opens(*check)) == (True, False)


def old_index(path: Path) -> None:
    """An index as the version before kept it: three users, the last one deleted with the phone of the first."""
    database = peewee.SqliteDatabase(str(path), pragmas=PRAGMAS)
    Runner(database, str(MIGRATIONS), table_name=HISTORY).up("0007_custody")
    database.close()
    user = (
        "INSERT INTO user (username, nickname, phone, email, avatar, role, password_hash, token_epoch, deleted,"
        " realname, resident_id_sealed, resident_id_masked, created_at)"
        " VALUES (?, 'n', ?, ?, '', 'boss', '', 0, ?, ?, ?, ?, 0)"
    )
    number = SEAL.close("resident id 1", NUMBER.encode())
    scope = f"phone {PHONES[1]}"
    with closing(sqlite3.connect(path)) as index, index:
        index.execute(user, ("u1", PHONES[0], "mei@example.com", 0, "杨梅", number, "53**************18"))
        index.execute(user, ("u2", PHONES[1], "", 0, "", None, ""))
        index.execute(user, ("u3", PHONES[0], "", 1, "", None, ""))
        index.execute(
            "INSERT INTO org (name, code, legal_name, legal_phone, info, owner_id, created_at)"
            " VALUES ('o', 'c', '王建国', '0871-6512345', x'', 1, 0)"
        )
        index.execute(
            "INSERT INTO idempotency (scope, key, rpc, request_digest, answer_sealed, created_at)"
            " VALUES (?, 'k', 'Register', x'', ?, 0)",
            (scope, SEAL.close(f"answer {scope} k", b"answer")),
        )
        index.execute("INSERT INTO sealed_key VALUES ('token', ?)", [SEAL.close("token", b"seed")])


def is_sealed(store: Store) -> None:
    assert personal.of(SEAL, [1, 2, 3]) == {
        1: Personal(PHONES[0], "mei@example.com", "杨梅", NUMBER),
        2: Personal(PHONES[1], "", "", ""),
        3: Personal(PHONES[0], "", "", ""),
    }
    assert [personal.user_with_phone(SEAL, phone) for phone in PHONES] == [1, 2, None]
    assert personal.contact(SEAL, 1) == Contact("王建国", "0871-6512345")
    answer = tables.Idempotency.get()
    assert answer.scope == sealed.phone_scope(SEAL, PHONES[1])
    assert SEAL.open(sealed.answer(answer.scope, "k"), bytes(answer.answer_sealed)) == b"answer"
    assert not set(tables.database.get_tables()) & unsealed.COLUMNS.keys()
    assert unsealed.WIPE not in store.settings()


def left_open(folder: Path) -> list[str]:
    """What of the personal data can be read in any file."""
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return [f"{text} in {name}" for text in OPEN for name, content in files.items() if text.encode() in content]


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    store = Store(path)
    try:
        yield store
    finally:
        store.close()


def test_what_an_older_version_kept_open_is_sealed_and_wiped(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    old_index(path)
    assert len(left_open(tmp_path)) >= len(OPEN) - 1
    with opened(path) as store:
        unsealed.seal_all(store, SEAL)
        assert left_open(tmp_path) == []  # with the index still open, its log beside it
        is_sealed(store)
    assert left_open(tmp_path) == []
    with opened(path) as store:
        unsealed.seal_all(store, SEAL)
        is_sealed(store)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("place", ["_seal_contacts", "_seal_answers", "wipe", "write_anew", "forget"])
def test_a_sealing_that_is_cut_short_is_done_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = tmp_path / "index.sqlite3"
    old_index(path)

    def kill(*_: object) -> None:
        raise Killed

    with opened(path) as store, monkeypatch.context() as patched:
        patched.setattr(unsealed if hasattr(unsealed, place) else Store, place, kill)
        with pytest.raises(Killed):
            unsealed.seal_all(store, SEAL)
    with opened(path) as store:
        unsealed.seal_all(store, SEAL)
        is_sealed(store)
    assert left_open(tmp_path) == []


def test_what_can_not_be_wiped_now_is_told_and_stays_due(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    old_index(path)
    with opened(path) as store:
        with closing(sqlite3.connect(path)) as reader:
            tables.run("PRAGMA busy_timeout = 50")
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM setting").fetchone()
            with pytest.raises(SetupError, match=r"can't be wiped from the index now: .*end other programs"):
                unsealed.seal_all(store, SEAL)
        assert left_open(tmp_path)
        unsealed.seal_all(store, SEAL)
        is_sealed(store)
    assert left_open(tmp_path) == []


def test_a_wrong_master_key_seals_nothing(tmp_path: Path) -> None:
    path = tmp_path / "index.sqlite3"
    old_index(path)
    with opened(path) as store:
        with pytest.raises(SetupError, match="does not open"):
            unsealed.seal_all(store, Seal(bytes(32)))
        unsealed.seal_all(store, SEAL)
        is_sealed(store)


def test_an_index_that_is_built_anew_from_an_older_one_is_sealed_too(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    old_index(path)
    for name in ("plain.sqlite3", "aside.sqlite3"):
        old = OldIndex(path)
        places = Places(tmp_path / name)
        new = Rebuild(places)
        new.copy(old, lambda _: None)
        assert new.faults() == []
        new.finish()
        old.close()
        places.new.rename(places.index)
        places.clear()
        with opened(places.index) as store:
            unsealed.seal_all(store, SEAL)
            is_sealed(store)
        with opened(path):  # migrated, but not sealed: what stood open waits aside
            pass
