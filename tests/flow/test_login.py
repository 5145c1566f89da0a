"""Logging in: what failures cost, whom they cost nothing, and what a password is stored as."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from argon2 import PasswordHasher

from node.domain.delay import ACCOUNT, ADDRESS
from node.domain.records import User
from node.domain.roles import Role
from node.errors import Reason, Status, VTraceError
from node.flow import login, passwords
from node.flow.login import Login
from node.flow.passwords import ITERATIONS, LANES, MEMORY_KIB, Passwords
from node.flow.people import People, UserChange
from node.store import logins, people, personal, tables
from node.store.db import Store
from node.store.seal import Seal

NOW = 1_760_000_000
PHONE, UNKNOWN = "13800138000", "13900139000"
RIGHT, WRONG = "correct horse battery", "another password"
HOME, ABROAD = "203.0.113.7", "198.51.100.9"
CHEAP: dict[str, Any] = {"time_cost": 1, "memory_cost": 64, "parallelism": 1}


class House:
    """An index with one user, a clock that stands, and passwords that cost nearly nothing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "index.sqlite3"
        self.seconds = NOW
        self.seal = Seal(b"\1" * 32)
        self.start()
        with self.store.write():
            self.user = people.add_user(
                username="u1",
                nickname="n",
                role=Role.NORMAL,
                password_hash=PasswordHasher().hash(RIGHT),
                now=0,
            )
            personal.add(self.seal, self.user.id, PHONE)

    def start(self) -> None:
        self.told: dict[str, str] = {}
        self.store = Store(self.path)
        self.people = People(self.store, self.seal, self.micros, role_changed=lambda _: None, submitted=lambda: None)
        self.login: Login = self.people.login

    def restart(self) -> None:
        self.store.close()
        self.start()

    def micros(self) -> int:
        return self.seconds * 1_000_000

    def attempt(self, phone: str = PHONE, password: str = WRONG, address: str = ABROAD) -> int:
        """0 for a wrong password, else the seconds to wait."""
        with pytest.raises(VTraceError) as refused:
            self.login.log_in(phone, password, address, self.told.update)
        fault = refused.value
        assert fault.reason is Reason.PASSWD_ERR
        assert phone not in repr((fault.message, fault.metadata, fault.fields))
        if fault.status is Status.UNAUTHENTICATED:
            assert (fault.message, fault.retry_seconds) == ("phone or password is wrong", None)
            return 0
        assert fault.status is Status.RESOURCE_EXHAUSTED
        assert fault.retry_seconds is not None
        assert fault.message == f"too many failed logins: try again in {fault.retry_seconds} s"
        return fault.retry_seconds

    def use_up(self, phone: str = PHONE, address: str = ABROAD) -> None:
        for _ in range(ACCOUNT.free):
            assert self.attempt(phone, address=address) == 0

    def log_in(self, address: str = ABROAD, password: str = RIGHT) -> User:
        return self.login.log_in(PHONE, password, address, self.told.update)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    real = PasswordHasher.__init__
    monkeypatch.setattr(PasswordHasher, "__init__", lambda self, *_, **__: real(self, **CHEAP))
    made = House(tmp_path)
    yield made
    made.store.close()


def test_failures_cost_a_growing_wait_for_known_and_unknown_phones_alike(house: House) -> None:
    costs: dict[str, list[int]] = {PHONE: [], UNKNOWN: []}
    for phone, waits in costs.items():
        for _ in range(ACCOUNT.free + 14):
            wait = house.attempt(phone, address="127.0.0.1")
            waits.append(wait)
            house.seconds += wait
            if wait:
                assert house.attempt(phone, address="127.0.0.1") == 0
    growing = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900, 900]
    assert costs[PHONE] == costs[UNKNOWN] == [0] * ACCOUNT.free + growing


def test_while_the_wait_lasts_the_right_password_is_refused_too_and_nothing_counts(house: House) -> None:
    house.use_up()
    for _ in range(5):
        assert house.attempt() == 1
        assert house.attempt(password=RIGHT) == 1
    house.seconds += 1
    assert house.log_in().username == "u1"
    house.use_up()


def test_a_restart_does_not_forget(house: House) -> None:
    house.use_up()
    house.restart()
    assert house.attempt() == 1


def test_an_attempt_counts_before_its_password_is_looked_at(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends the process in the middle makes no attempt free."""

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Passwords, "check", killed)
        for _ in range(ACCOUNT.free):
            with pytest.raises(Killed):
                house.log_in()
    house.restart()
    assert house.attempt() == 1


def test_many_attempts_at_once_are_no_more_than_one_after_the_other(house: House) -> None:
    total, answers, lock = 4 * ACCOUNT.free, [], threading.Lock()

    def guess(_: int) -> None:
        try:
            house.login.log_in(PHONE, WRONG, "127.0.0.1", house.told.update)
        except VTraceError as fault:
            with lock:
                answers.append(fault.status)
        finally:
            house.store.close_thread()

    with ThreadPoolExecutor(8) as callers:
        list(callers.map(guess, range(total)))
    assert answers.count(Status.UNAUTHENTICATED) == ACCOUNT.free
    assert answers.count(Status.RESOURCE_EXHAUSTED) == total - ACCOUNT.free


def test_a_stranger_can_not_make_a_user_wait_where_that_user_was_before(house: House) -> None:
    assert house.log_in(HOME).username == "u1"
    house.use_up(address=ABROAD)
    assert house.attempt(address=ABROAD) == 1
    assert house.log_in(HOME).username == "u1"
    # Nor does that help the stranger.
    assert house.attempt(address=ABROAD) == 1
    # There, too, guesses cost.
    house.use_up(address=HOME)
    assert house.attempt(address=HOME, password=RIGHT) == 1
    house.seconds += ACCOUNT.forget_seconds
    assert house.log_in(HOME).username == "u1"


def test_an_ipv6_network_counts_as_one(house: House) -> None:
    assert house.log_in("2001:db8:1:2::1").username == "u1"
    house.use_up(address="2001:db8:1:3::1")
    assert house.attempt(address="2001:db8:1:4::1") == 1
    assert house.log_in("2001:db8:1:2:ffff::").username == "u1"


def test_an_address_waits_whatever_phones_it_tries(house: House) -> None:
    phones = (f"139{number:08d}" for number in range(10_000))
    for _ in range(ADDRESS.free):
        assert house.attempt(next(phones)) == 0
    assert house.attempt(next(phones)) == 1
    assert house.attempt(password=RIGHT) == 1
    assert house.log_in(HOME).username == "u1"
    house.seconds += 1
    # One right password does not pay for the wrong ones.
    assert house.log_in(ABROAD).username == "u1"
    assert house.attempt(next(phones)) == 0
    assert house.attempt(next(phones)) == 2
    house.seconds += ADDRESS.forget_seconds
    assert house.attempt(next(phones)) == 0


@pytest.mark.parametrize("address", ["", "127.0.0.1", "::1", "unknown"])
def test_an_address_that_tells_nobody_apart_makes_nobody_wait(house: House, address: str) -> None:
    for number in range(ADDRESS.free + 2):
        assert house.attempt(f"139{number:08d}", address=address) == 0


def test_asking_which_phones_are_taken_costs_as_well(house: House) -> None:
    def register(address: str) -> Status | None:
        try:
            with house.login.registering(address):
                newcomer = house.people.newcomer(PHONE, "n", RIGHT)
                house.people.register(newcomer)
        except VTraceError as fault:
            return fault.status
        return None

    assert [register(ABROAD) for _ in range(ADDRESS.free)] == [Status.ALREADY_EXISTS] * ADDRESS.free
    assert register(ABROAD) is Status.RESOURCE_EXHAUSTED
    assert house.attempt() == 1
    assert register(HOME) is Status.ALREADY_EXISTS
    for _ in range(ADDRESS.free + 1):
        with house.login.registering("192.0.2.1"):
            pass
        with pytest.raises(VTraceError, match="passwd"), house.login.registering("192.0.2.1"):
            house.people.newcomer("13800138001", "n", "short")


def test_memory_of_addresses_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "ADDRESSES_MAX", 3)
    known = login.Addresses(house.micros)
    for number in range(9):
        with known.attempt(f"192.0.2.{number}"):
            pass
    assert known._known.keys() == ["192.0.2.6", "192.0.2.7", "192.0.2.8"]


def test_the_index_of_failures_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "ACCOUNTS_MAX", 40)
    house.log_in(HOME)
    for number in range(200):
        house.attempt(f"139{number:08d}", address="127.0.0.1")
        house.seconds += 1
    assert _rows() <= 40 + login.SWEEP_EVERY + 1
    # What counts no longer goes, and networks that a user came from stay longer.
    house.seconds += ACCOUNT.forget_seconds
    for number in range(200):
        house.attempt(f"137{number:08d}", address="127.0.0.1")
    assert _rows() <= 40 + login.SWEEP_EVERY + 1
    assert tables.Login.select().where(tables.Login.network != logins.NOWHERE).count() == 1


def test_networks_of_a_user_are_bounded_to_the_last(house: House) -> None:
    for number in range(login.NETWORKS_MAX + 3):
        house.log_in(f"192.0.2.{number}")
        house.seconds += 1
    assert _rows() == login.NETWORKS_MAX
    house.use_up(address=ABROAD)
    house.seconds += 1
    house.attempt(address=ABROAD)
    assert house.attempt(address="192.0.2.0") == 2
    assert house.log_in(f"192.0.2.{login.NETWORKS_MAX + 2}").username == "u1"


def test_no_phone_and_no_address_stands_in_the_index_in_clear(house: House) -> None:
    house.attempt(UNKNOWN, address=ABROAD)
    house.log_in(HOME)
    content = b"".join(path.read_bytes() for path in house.path.parent.iterdir())
    for secret in (PHONE, UNKNOWN, ABROAD, HOME):
        assert secret.encode() not in content
    assert house.user.username.encode() in content  # what is looked for would be found


def test_guesses_of_a_logged_in_users_password_count_too(house: House) -> None:
    change = UserChange(password="a whole new one", current_password=WRONG)
    for _ in range(ACCOUNT.free):
        with pytest.raises(VTraceError, match="current_password is wrong"):
            house.people.change_user(house.user, "", change, ABROAD)
    with pytest.raises(VTraceError, match="too many failed logins") as refused:
        house.people.change_user(house.user, "", change, ABROAD)
    assert refused.value.status is Status.RESOURCE_EXHAUSTED
    assert house.attempt() == 1


def test_who_is_no_admin_any_more_when_it_comes_to_writing_changes_nobody(house: House) -> None:
    with house.store.write():
        other = people.add_user(username="u2", nickname="n", role=Role.NORMAL, password_hash="", now=0)
    until_now = replace(house.user, role=Role.ADMIN)
    for change in (
        lambda: house.people.delete(until_now, other.username),
        lambda: house.people.change_user(until_now, other.username, UserChange(nickname="x"), ABROAD),
        lambda: house.people.change_user(until_now, "", UserChange(role="admin"), ABROAD),
    ):
        with pytest.raises(VTraceError) as refused:
            change()
        assert refused.value.status is Status.PERMISSION_DENIED


WORK: dict[str, Callable[[House], str]] = {
    "known": lambda _: PHONE,
    "unknown": lambda _: UNKNOWN,
    "no phone": lambda _: "x" * 100_000,
    "deleted": lambda house: _deleted(house),
    "no hash": lambda house: _without_hash(house),
}


def _deleted(house: House) -> str:
    house.people.delete(house.user, "")
    return PHONE


def _without_hash(house: House) -> str:
    with house.store.write():
        people.change_user(house.user.id, password_hash="")
    return PHONE


@pytest.mark.parametrize("password", [WRONG, "", "ﬁ" * 20, "x" * 200, "half \ud800"])
@pytest.mark.parametrize("which", WORK)
def test_the_work_is_the_same_whether_there_is_a_user_or_not(
    house: House, monkeypatch: pytest.MonkeyPatch, which: str, password: str
) -> None:
    phone = WORK[which](house)
    done: list[str] = []
    verify, put = PasswordHasher.verify, logins.put

    def counted(self: PasswordHasher, stored: str, given: str) -> bool:
        if stored.startswith("$argon2id$"):
            done.append("hash")
        return bool(verify(self, stored, given))

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    monkeypatch.setattr(logins, "put", lambda *given: done.append("write") or put(*given))
    assert house.attempt(phone, password) == 0
    twice = password.startswith("ﬁ")  # as it is normalised, and as it came
    assert done == ["write", "hash", *(["hash"] if twice else [])]


def test_a_password_is_stored_anew_when_the_parameters_have_changed(house: House) -> None:
    house.log_in()
    before = house.user.password_hash
    assert _stored(house) == before
    weaker = _hash_with(time_cost=2)
    with house.store.write():
        people.change_user(house.user.id, password_hash=weaker)
    house.attempt()
    assert _stored(house) == weaker
    house.log_in()
    anew = _stored(house)
    assert anew.split("$")[3] == before.split("$")[3] != weaker.split("$")[3]
    house.log_in()
    assert _stored(house) == anew


def test_a_password_that_was_changed_meanwhile_is_not_stored_back(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house.store.write():
        people.change_user(house.user.id, password_hash=_hash_with(time_cost=2))
    real = Passwords.hash

    def changed_meanwhile(self: Passwords, password: str) -> str:
        with house.store.write():
            people.change_user(house.user.id, password_hash="the new one's")
            people.revoke_tokens(house.user.id)
        return real(self, password)

    monkeypatch.setattr(Passwords, "hash", changed_meanwhile)
    logged_in = house.log_in()
    assert _stored(house) == "the new one's"
    assert logged_in.token_epoch == house.user.token_epoch  # so its token is dead


def test_passwords_of_before_keep_working_and_are_normalised(house: House) -> None:
    old = "Ｆｕｌｌ ｗｉｄｔｈ ﬁsh"
    with house.store.write():
        people.change_user(house.user.id, password_hash=_hash_with(old, time_cost=1))
    assert house.attempt(password="Full width fish") == 0
    house.log_in(password=old)
    house.log_in(password="Full width fish")
    # Nor are the rules for new ones held against them.
    with house.store.write():
        people.change_user(house.user.id, password_hash=_hash_with("1234", time_cost=1))
    house.log_in(password="1234")


def test_the_parameters_are_no_weaker_than_owasp_says() -> None:
    parameters = Passwords()._hasher
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (MEMORY_KIB, ITERATIONS, LANES)
    assert parameters.type.name == "ID"
    assert MEMORY_KIB >= 19_456
    assert ITERATIONS >= 2
    assert parameters.salt_len >= 16
    assert parameters.hash_len >= 32


def test_too_many_logins_at_once_are_told_so_and_cost_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house.people._passwords, "_places", threading.BoundedSemaphore(1))
    with house.people._passwords.place():
        for _ in range(ACCOUNT.free + 1):
            with pytest.raises(VTraceError, match="too many logins are under way") as refused:
                house.log_in()
            assert (refused.value.status, refused.value.retry_seconds) == (Status.RESOURCE_EXHAUSTED, 1)
    assert house.log_in().username == "u1"


def test_who_has_to_wait_does_not_wait_for_a_hash(house: House) -> None:
    house.use_up()
    hashing = house.people._passwords._hashing
    with hashing, hashing:  # all that are done at once
        assert house.attempt() == 1


def test_the_list_of_common_passwords_is_there(house: House) -> None:
    assert len(passwords.common()) > 10_000
    for common in ("password1234", "PASSWORD1234", "qwertyuiop", "12345678"):
        with pytest.raises(VTraceError, match="want a password that few people have") as refused:
            house.people.newcomer("13800138001", "n", common)
        assert common not in repr((refused.value.message, refused.value.metadata, refused.value.fields))
    with pytest.raises(VTraceError, match="want 4 more characters beside phone"):
        house.people.newcomer("13800138001", "Zhang San", "zhang san!")


def _rows() -> int:
    return int(tables.Login.select().count())


def _stored(house: House) -> str:
    found = people.user(house.user.id)
    assert found is not None
    return found.password_hash


def _hash_with(password: str = RIGHT, *, time_cost: int) -> str:
    from argon2.low_level import Type, hash_secret

    return hash_secret(password.encode(), b"\1" * 16, time_cost, 64, 1, 32, Type.ID).decode()


def test_the_log_learns_whose_account_is_tried_and_of_unknown_phones_too_little_to_name_one(house: House) -> None:
    house.attempt(PHONE, address="127.0.0.1")
    assert house.told == {"user": "u1"}
    digests = []
    for phone in (UNKNOWN, UNKNOWN, "13900000000"):
        house.told.clear()
        house.attempt(phone, address="127.0.0.1")
        assert house.told.keys() == {"unknown_phone"}
        digests.append(house.told["unknown_phone"])
    assert digests[0] == digests[1] != digests[2]
    assert {len(digest) for digest in digests} == {6}
