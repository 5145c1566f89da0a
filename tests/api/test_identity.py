"""Logging in and tokens at a running node: addresses behind proxies, keys that are rotated, roles that are taken."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import jwt
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from node.clock import now_micros
from node.config import Config
from node.domain.delay import ACCOUNT
from node.wire.vtrace.v1 import service_pb2 as wire
from tests.flow.world import Running, started
from tests.support import people
from tests.support.node import RunningNode, eventually, running, vtrace
from tests.support.people import Person
from tests.support.wire_client import Refusal, WireClient

HOME, ABROAD = "203.0.113.7", "198.51.100.9"


@contextmanager
def behind(data_dir: Path, proxies: int) -> Iterator[Running]:
    """A node behind so many proxies, which the tests play; for its logins time stands still."""
    config = Config(data_dir=data_dir, grpc="127.0.0.1:0", http="127.0.0.1:0", trusted_proxies=proxies)
    with started(config) as node:
        now, login = now_micros(), node.node.people.login
        login._clock = login._addresses._clock = lambda: now
        yield node


def _by_grpc(node: Running, phone: str, password: str, forwarded: str) -> int:
    """0 for a token, 1 for none, else the seconds to wait plus 1."""
    request = wire.TokenRequest(phone=phone, password=password)
    with grpc.insecure_channel(node.ready.grpc) as channel:
        stub = channel.unary_unary(
            "/vtrace.v1.VTraceInterface/Token",
            request_serializer=lambda sent: sent.SerializeToString(),
            response_deserializer=wire.TokenResponse.FromString,
        )
        try:
            assert stub(request, timeout=30, metadata=[("x-forwarded-for", forwarded)]).token
        except grpc.RpcError as error:
            refusal = error
        else:
            return 0
    if refusal.code() is grpc.StatusCode.UNAUTHENTICATED:
        return 1
    assert refusal.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    info = error_details_pb2.RetryInfo()
    assert any(detail.Unpack(info) for detail in rpc_status.from_call(refusal).details)
    return 1 + int(info.retry_delay.seconds)


def _by_http(node: Running, phone: str, password: str, forwarded: str) -> int:
    answer = httpx.post(
        f"http://{node.ready.http}/api/v1/token",
        json={"phone": phone, "password": password},
        headers={"X-Forwarded-For": forwarded},
        timeout=30,
    )
    if answer.status_code == 429:
        return 1 + int(answer.headers["retry-after"])
    return {200: 0, 401: 1}[answer.status_code]


def test_callers_are_told_apart_by_what_the_proxy_says(tmp_path: Path) -> None:
    with behind(tmp_path / "data", 1) as node:
        for log_in, other in ((_by_grpc, _by_http), (_by_http, _by_grpc)):
            phone = people.register(node.client).phone
            assert log_in(node, phone, people.PASSWORD, HOME) == 0
            for lie in range(ACCOUNT.free):
                # What the caller says of itself stands further left, and counts for nothing.
                assert log_in(node, phone, "wrong password", f"192.0.2.{lie}, {ABROAD}") == 1
            assert log_in(node, phone, people.PASSWORD, f"{HOME}, {ABROAD}") == 2
            assert other(node, phone, people.PASSWORD, HOME) == 0


def test_without_a_proxy_nobody_says_where_it_comes_from(tmp_path: Path) -> None:
    with behind(tmp_path / "data", 0) as node:
        phone = people.register(node.client).phone
        assert _by_grpc(node, phone, people.PASSWORD, HOME) == 0
        for lie in range(ACCOUNT.free):
            assert _by_http(node, phone, "wrong password", f"192.0.2.{lie}") == 1
        assert _by_grpc(node, phone, people.PASSWORD, HOME) == 2


def _kid(token: str | None) -> str:
    assert token is not None
    return str(jwt.get_unverified_header(token)["kid"])


def _rotate(node: RunningNode, *args: str) -> str:
    done = vtrace("keys", "rotate", "--data-dir", str(node.data_dir), *args)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _is_refused(person: Person) -> bool:
    try:
        person.call("Profile")
    except Refusal as refusal:
        return (refusal.status, refusal.reason) == ("UNAUTHENTICATED", "TOKEN_EXPIRED")
    return False


@pytest.fixture
def own(tmp_path: Path) -> Iterator[RunningNode]:
    with running(tmp_path / "data") as node:
        yield node


def test_a_running_node_takes_a_new_key_up(own: RunningNode) -> None:
    person = people.register(own.client)
    before = person.client.token
    kid = _rotate(own)
    refreshed = eventually(lambda: (token := person.call("RefreshToken").token) and _kid(token) == kid and token)
    assert _kid(before) != kid
    again = Person(person.username, person.phone, own.client.with_token(refreshed))
    assert not _is_refused(person)
    assert not _is_refused(again)
    _rotate(own, "--revoke")
    eventually(lambda: _is_refused(person) and _is_refused(again))
    token = own.client.call("Token", phone=person.phone, password=people.PASSWORD).token
    assert own.client.with_token(token).call("Profile").user.username.value == person.username


def test_keys_of_no_node_are_not_rotated(tmp_path: Path) -> None:
    done = vtrace("keys", "rotate", "--data-dir", str(tmp_path / "d"))
    assert (done.returncode, done.stdout) == (1, "")
    assert "no node keeps its data there" in done.stderr
    assert not (tmp_path / "d").exists()


def test_a_refreshed_token_remembers_the_login(node: RunningNode) -> None:
    person = people.register(node.client)
    tokens = [person.client.token, person.call("RefreshToken").token]
    times = [jwt.decode(token, options={"verify_signature": False})["auth_time"] for token in tokens]
    assert times[0] == times[1]


def _grant(node: RunningNode, person: Person, role: str) -> None:
    done = vtrace("admin", "grant", person.username, role, "--data-dir", str(node.data_dir))
    assert done.returncode == 0, done.stderr


def test_tokens_die_with_a_role_that_is_taken(node: RunningNode) -> None:
    person = people.register(node.client)
    _grant(node, person, "examiner")
    assert not _is_refused(person)  # more than before: the token stays, and the role holds at once
    assert person.call("ListModels").models
    _grant(node, person, "transporter")
    assert _is_refused(person)
    person.client = _log_in(node, person)
    admin = people.register(node.client)
    _grant(node, admin, "admin")
    _set_role(admin, person, "normal")
    assert _is_refused(person)
    person.client = _log_in(node, person)
    _set_role(admin, person, "normal")  # nothing changes
    assert not _is_refused(person)


def _log_in(node: RunningNode, person: Person) -> WireClient:
    return node.client.with_token(node.client.call("Token", phone=person.phone, password=people.PASSWORD).token)


def _set_role(admin: Person, person: Person, role: str) -> None:
    admin.call("UpdateUser", user={"username": person.username, "role": role})


def test_a_refusal_never_shows_the_password(node: RunningNode) -> None:
    for password in ("password1234", "13800990099", "vtrace!!", "short", "s3cret" * 30):
        with pytest.raises(Refusal) as refused:
            node.client.call("Register", phone="13800990099", nickname="n", passwd=password)
        refusal = refused.value
        assert (refusal.status, refusal.fields) == ("INVALID_ARGUMENT", ["passwd"])
        assert password not in f"{refusal} {refusal.metadata}"
        assert password not in node.log()
