"""TLS on both ports, renewed without a restart; who a client certificate stands for; no plaintext for others."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from node.config import Config, check
from node.errors import SetupError
from node.tls import TlsFiles
from tests.api.tls_world import SECONDS_MAX, World, new_world
from tests.support import people
from tests.support.certificates import Authority
from tests.support.wire_client import Refusal, WireClient


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with new_world(tmp_path_factory.mktemp("tls")) as made:
        yield made


@pytest.fixture
def person(world: World) -> people.Person:
    return people.register(world.client(world.authority.issue()))


def refusal(client: WireClient, rpc: str, **fields: Any) -> tuple[str, str]:
    with pytest.raises(Refusal) as refused:
        client.call(rpc, **fields)
    return refused.value.status, refused.value.message


def test_grpc_takes_no_one_without_a_certificate_of_the_authority(world: World) -> None:
    for other in (None, Authority().issue(), Authority().issue_to("u1")):
        assert refusal(world.client(other), "ContractName")[0] == "UNAVAILABLE"
    assert refusal(WireClient(world.grpc), "ContractName")[0] == "UNAVAILABLE"
    assert world.client(world.authority.issue()).call("ContractName")


def test_http_speaks_tls_and_takes_readers_without_a_certificate(world: World) -> None:
    refused = httpx.post(f"{world.base}/api/v1/user:get", json={}, verify=world.context())
    assert refused.status_code == 401
    assert refused.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{world.base}/t/1")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{world.running.ready.http}/t/1")
    foreign = ssl.create_default_context(cadata=world.authority.pem.decode())
    path = world.folder / "foreign.pem"
    other = Authority().issue_to("u1")
    path.write_bytes(other.certificate + other.key)
    foreign.load_cert_chain(path)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{world.base}/t/1", verify=foreign)


@pytest.mark.parametrize("port", ["grpc", "http"])
def test_old_versions_and_weak_ciphers_are_refused(world: World, port: str) -> None:
    host, _, number = getattr(world.running.ready, port).rpartition(":")

    def shakes(set_up: Any) -> bool:
        context = world.context(world.authority.issue())
        set_up(context)
        try:
            with (
                socket.create_connection((host, int(number)), SECONDS_MAX) as plain,
                context.wrap_socket(plain, server_hostname=host),
            ):
                return True
        except (ssl.SSLError, ConnectionResetError):
            return False

    def tls_1_2(context: ssl.SSLContext, ciphers: str) -> None:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)

    def tls_1_1(context: ssl.SSLContext) -> None:
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    assert shakes(lambda context: tls_1_2(context, "ECDHE-ECDSA-AES128-GCM-SHA256"))
    assert not shakes(lambda context: tls_1_2(context, "ECDHE-ECDSA-AES128-SHA"))
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        assert not shakes(tls_1_1)


def test_a_certificate_that_names_a_user_needs_no_token(world: World, person: people.Person) -> None:
    issued = world.authority.issue_to(person.username)
    certified = world.client(issued)
    assert certified.call("Profile").user.username.value == person.username
    assert refusal(certified, "CreateGoodsClass")[0] == "PERMISSION_DENIED"
    assert certified.with_token(person.client.token).call("Profile").user.username.value == person.username
    over_http = httpx.post(f"{world.base}/api/v1/user:get", json={}, verify=world.context(issued))
    assert over_http.json()["user"]["username"] == person.username


def test_it_gives_no_token_that_would_outlive_it(world: World, person: people.Person) -> None:
    status, message = refusal(world.client(world.authority.issue_to(person.username)), "RefreshToken")
    assert status == "UNAUTHENTICATED"
    assert "call Token" in message


def test_a_token_beside_it_must_be_the_same_users(world: World, person: people.Person) -> None:
    other = people.register(world.client(world.authority.issue()))
    both = world.client(world.authority.issue_to(other.username), person.client.token)
    assert refusal(both, "Profile") == ("UNAUTHENTICATED", "client certificate: of another user than the token")
    wrong = world.client(world.authority.issue_to(person.username), "rubbish")
    assert refusal(wrong, "Profile")[0] == "UNAUTHENTICATED"


def test_a_deleted_user_and_one_who_never_was_are_refused(world: World, person: people.Person) -> None:
    certified = world.client(world.authority.issue_to(person.username))
    certified.call("DeleteUser")
    wanted = ("UNAUTHENTICATED", "client certificate: names no user of this node")
    assert refusal(certified, "Profile") == wanted
    assert refusal(world.client(world.authority.issue_to("nobody")), "Profile") == wanted


def test_only_a_uri_names_a_user(world: World, person: people.Person) -> None:
    named = f"vtrace:user:{person.username}"
    for issued in (
        world.authority.issue(common_name=person.username),
        world.authority.issue(common_name=named),
        world.authority.issue(x509.DNSName(named)),
        world.authority.issue(x509.RFC822Name(named)),
    ):
        status, message = refusal(world.client(issued), "Profile")
        assert (status, message.partition(":")[0]) == ("UNAUTHENTICATED", "metadata authorization")


def test_a_renewed_certificate_is_shown_without_a_restart(world: World) -> None:
    before = world.client(world.authority.issue())
    with httpx.Client(base_url=world.base, verify=world.context()) as kept:
        kept.get("/t/1")
        before.call("ContractName")
        renewed = world.authority.issue()
        world.write(renewed)
        for address in (world.grpc, world.running.ready.http):
            assert world.shown(address) == renewed.serial
        assert before.call("ContractName"), "a connection from before goes on"
        assert kept.get("/t/1").status_code == 404
        # Half of a renewal: a certificate whose key is not there yet.
        (world.folder / "cert.pem").write_bytes(world.authority.issue().certificate)
        for address in (world.grpc, world.running.ready.http):
            assert world.shown(address) == renewed.serial
        (world.folder / "cert.pem").unlink()
        for address in (world.grpc, world.running.ready.http):
            assert world.shown(address) == renewed.serial
        again = world.authority.issue()
        world.write(again)
        for address in (world.grpc, world.running.ready.http):
            assert world.shown(address) == again.serial


OPEN = Config(Path("data"), "0.0.0.0:50051", "127.0.0.1:8080")


@pytest.mark.parametrize(
    "address", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[2001:db8::1]:1", "node.example.com:1", "127.0.0.1.nip.io:1"]
)
def test_what_others_can_reach_is_not_served_in_the_clear(address: str) -> None:
    for option, config in (
        ("grpc", replace(OPEN, grpc=address)),
        ("http", replace(OPEN, grpc="[::1]:1", http=address)),
    ):
        with pytest.raises(SetupError, match=f"--{option} .*want --tls-cert and --tls-key.*--insecure") as refused:
            check(config)
        assert "\n" not in str(refused.value)


def test_unless_it_is_said_or_there_is_tls(tmp_path: Path) -> None:
    check(replace(OPEN, insecure=True))
    check(replace(OPEN, tls_cert=tmp_path, tls_key=tmp_path))
    for address in ("127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"):
        check(replace(OPEN, grpc=address))


def test_half_of_the_options_is_refused(tmp_path: Path) -> None:
    for half in (Config(tmp_path, tls_cert=tmp_path), Config(tmp_path, tls_key=tmp_path)):
        with pytest.raises(SetupError, match="want both or none"):
            check(half)
    with pytest.raises(SetupError, match="--tls-client-ca"):
        check(Config(tmp_path, tls_client_ca=tmp_path))


def test_files_that_can_not_be_used_are_one_line(tmp_path: Path) -> None:
    authority = Authority()
    one, other = authority.issue(), authority.issue()
    cert, key, ca = tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem"
    for content_cert, content_key, content_ca, want in (
        (one.certificate, other.key, authority.pem, "--tls-cert"),
        (b"rubbish", one.key, authority.pem, "--tls-cert"),
        (one.certificate, b"", authority.pem, "--tls-cert"),
        (one.certificate, one.key, b"rubbish", "--tls-client-ca"),
        (one.certificate, one.key, b"", "--tls-client-ca"),
        (one.certificate, one.key, b"\xff", "--tls-client-ca"),
    ):
        for path, content in ((cert, content_cert), (key, content_key), (ca, content_ca)):
            path.write_bytes(content)
        with pytest.raises(SetupError, match=want) as refused:
            TlsFiles(cert, key, ca)
        assert "\n" not in str(refused.value)
    with pytest.raises(SetupError, match="No such file"):
        TlsFiles(tmp_path / "none", key, None)
