"""Tokens: who signed them, what they must say, and that what is remembered of one is never what can change."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.api.auth import SESSION_SECONDS_MAX, Tokens
from node.domain.records import User
from node.domain.roles import Role
from node.errors import Reason, SetupError, Status, VTraceError
from node.flow import token_keys
from node.flow.token_keys import KEYS_MAX, LOOK_AGAIN_MICROS, SKEW_SECONDS, TOKEN_SECONDS, TokenKeys
from node.store import keys
from node.store.db import Store
from node.store.seal import Seal

NOW = 1_760_000_000
USER = User(
    id=7,
    username="u",
    nickname="n",
    avatar="",
    role=Role.NORMAL,
    password_hash="",
    token_epoch=3,
    deleted=False,
    org_id=None,
    role_before=None,
    created_at=0,
)


class Node:
    """Tokens of a node with one user and a clock that stands."""

    def __init__(self, store: Store) -> None:
        self.seconds = NOW
        self.user: User | None = USER
        self.store = store
        self.seal = Seal(b"\1" * 32)
        self.keys = TokenKeys(store, self.seal, self.micros, Tokens.new_seed)
        self.tokens = Tokens(self.keys, lambda user_id: self.user if user_id == 7 else None, self.micros)

    def micros(self) -> int:
        return self.seconds * 1_000_000

    def issue(self, logged_in: int | None = None) -> str:
        assert self.user is not None
        return f"Bearer {self.tokens.issue(self.user, logged_in)}"

    def rotate(self, *, revoke: bool = False) -> str:
        """As ``vtrace keys rotate`` does, from another process."""
        return token_keys.rotate(self.store, self.seal, self.micros, Tokens.new_seed, revoke=revoke).kid

    def look_again(self) -> None:
        self.seconds += LOOK_AGAIN_MICROS // 1_000_000


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    store = Store(tmp_path / "index.sqlite3")
    yield Node(store)
    store.close()


def refused(node: Node, authorization: str | None, why: str) -> None:
    for _ in range(2):
        with pytest.raises(VTraceError, match=why) as fault:
            node.tokens.session(authorization)
        assert (fault.value.status, fault.value.reason) == (Status.UNAUTHENTICATED, Reason.TOKEN_EXPIRED)
        assert authorization is None or len(authorization) < 20 or authorization[7:] not in fault.value.message


NOT_OURS = "not one of this node's"


def test_the_user_is_as_it_is_now(node: Node) -> None:
    given = node.issue()
    assert node.tokens.session(given).user is node.user
    node.user = replace(USER, role=Role.BOSS)
    assert node.tokens.session(given).user.role is Role.BOSS


def test_a_token_is_good_for_an_hour_and_what_clocks_may_be_apart(node: Node) -> None:
    given = node.issue()
    claims = jwt.decode(given[7:], options={"verify_signature": False})
    assert (claims["nbf"], claims["exp"]) == (NOW, NOW + 3_600)
    for seconds in (-SKEW_SECONDS, TOKEN_SECONDS + SKEW_SECONDS - 1):
        node.seconds = NOW + seconds
        assert node.tokens.session(given).user is node.user
    for seconds in (-SKEW_SECONDS - 1, TOKEN_SECONDS + SKEW_SECONDS):
        node.seconds = NOW + seconds
        refused(node, given, "expired")


def test_a_known_token_dies_with_its_epoch_or_user(node: Node) -> None:
    given = node.issue()
    assert node.tokens.session(given).user is node.user
    for user in (replace(USER, token_epoch=4), replace(USER, deleted=True), None):
        node.user = user
        refused(node, given, "revoked")
    node.user = USER
    assert node.tokens.session(given).user is USER


def test_another_nodes_token_is_refused_each_time(node: Node) -> None:
    other = Ed25519PrivateKey.generate()
    refused(node, "Bearer " + _signed(node, other), NOT_OURS)
    given = node.issue()
    assert node.tokens.session(given).user is node.user
    refused(node, given[:-2], NOT_OURS)


def test_refreshed_tokens_end_with_the_session(node: Node) -> None:
    given = node.issue()
    while node.seconds < NOW + SESSION_SECONDS_MAX - TOKEN_SECONDS:
        session = node.tokens.session(given)
        assert session.logged_in == NOW
        given = node.issue(session.logged_in)
        node.seconds += TOKEN_SECONDS - 1
    last = node.issue(node.tokens.session(given).logged_in)
    assert jwt.decode(last[7:], options={"verify_signature": False})["exp"] == NOW + SESSION_SECONDS_MAX
    node.seconds = NOW + SESSION_SECONDS_MAX
    assert node.tokens.session(last).user is USER  # within what clocks may be apart
    with pytest.raises(VTraceError, match="the last login was 30 days ago") as fault:
        node.issue(NOW)
    assert fault.value.status is Status.UNAUTHENTICATED


@pytest.mark.parametrize("given", [None, "", "Bearer", "Bearer ", "Basic dTpw", "Bearer " + "x" * 4_097])
def test_what_is_no_bearer_token_is_refused(node: Node, given: str | None) -> None:
    refused(node, given, "want Bearer <token>")


def _claims(**other: Any) -> dict[str, Any]:
    said = {"iss": "vtrace", "aud": "vtrace", "sub": "7", "epoch": 3, "auth_time": NOW}
    return {
        name: value
        for name, value in {**said, "iat": NOW, "nbf": NOW, "exp": NOW + 60, **other}.items()
        if value is not None
    }


def _key(node: Node) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(node.keys.signing().seed)


def _signed(node: Node, key: Any, *, algorithm: str = "EdDSA", kid: Any = None, **claims: Any) -> str:
    kid = node.keys.signing().kid if kid is None else kid
    return jwt.encode(_claims(**claims), key, algorithm=algorithm, headers={"kid": kid})


def _raw(header: Any, claims: Any, sign: Callable[[bytes], bytes]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    body = b".".join(parts)
    return (body + b"." + base64.urlsafe_b64encode(sign(body)).rstrip(b"=")).decode()


def test_what_the_next_test_forges_would_be_good(node: Node) -> None:
    assert node.tokens.session("Bearer " + _signed(node, _key(node))).user is USER


CLAIMS: list[dict[str, Any]] = [
    *({name: None} for name in ("iss", "aud", "sub", "epoch", "auth_time", "iat", "nbf", "exp")),
    {"iss": "other"},
    {"aud": "other"},
    {"aud": ["other"]},
    {"sub": "seven"},
    {"epoch": "3"},
    {"epoch": True},
    {"epoch": 3.0},
    {"auth_time": "now"},
    {"nbf": "now"},
    {"exp": "never"},
    {"exp": [1]},
]


@pytest.mark.parametrize("claims", CLAIMS, ids=str)
def test_a_token_that_does_not_say_what_it_must_is_refused(node: Node, claims: dict[str, Any]) -> None:
    said = _claims(**claims)
    header = {"alg": "EdDSA", "typ": "JWT", "kid": node.keys.signing().kid}
    refused(node, "Bearer " + _raw(header, said, _key(node).sign), NOT_OURS)


def _public(node: Node) -> tuple[bytes, bytes]:
    public = _key(node).public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw), pem


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signed", [True, False])
def test_the_algorithm_none_is_refused(node: Node, name: str, signed: bool) -> None:
    header = {"alg": name, "typ": "JWT", "kid": node.keys.signing().kid}
    sign = _key(node).sign if signed else lambda _: b""
    refused(node, "Bearer " + _raw(header, _claims(), sign), NOT_OURS)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_public_key_is_no_shared_secret(node: Node, algorithm: str) -> None:
    header = {"alg": algorithm, "typ": "JWT", "kid": node.keys.signing().kid}
    digest = "sha" + algorithm[2:]
    for secret in (*_public(node), node.keys.signing().seed):
        sign = lambda body, secret=secret: hmac.digest(secret, body, digest)  # noqa: E731
        refused(node, "Bearer " + _raw(header, _claims(), sign), NOT_OURS)


def test_other_algorithms_are_refused(node: Node) -> None:
    curve, big = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 2048)
    refused(node, "Bearer " + _signed(node, curve, algorithm="ES256"), NOT_OURS)
    refused(node, "Bearer " + _signed(node, big, algorithm="RS256"), NOT_OURS)
    # The right key under another name.
    header = {"alg": "ES256", "typ": "JWT", "kid": node.keys.signing().kid}
    refused(node, "Bearer " + _raw(header, _claims(), _key(node).sign), NOT_OURS)


@pytest.mark.parametrize("kid", ["", "other", "../token", 7, ["x"], {"a": 1}, None, True])
def test_a_key_that_is_not_ours_is_refused(node: Node, kid: Any) -> None:
    header = {"alg": "EdDSA", "typ": "JWT", "kid": kid}
    refused(node, "Bearer " + _raw(header, _claims(), _key(node).sign), NOT_OURS)
    del header["kid"]
    refused(node, "Bearer " + _raw(header, _claims(), _key(node).sign), NOT_OURS)


def test_a_key_that_the_token_brings_along_is_not_asked(node: Node) -> None:
    own = Ed25519PrivateKey.generate()
    jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(own.public_key()))
    header = {"alg": "EdDSA", "typ": "JWT", "kid": node.keys.signing().kid, "jwk": jwk, "jku": "http://127.0.0.1/"}
    refused(node, "Bearer " + _raw(header, _claims(), own.sign), NOT_OURS)


DEEP = base64.urlsafe_b64encode(b"[" * 2_900).rstrip(b"=").decode()
RUBBISH = ["x", "..", "a.b.c", "e30.e30.", "é.é.é", "\0", DEEP[:4_000] + ".e30.e30", "e30." + DEEP[:4_000] + ".e30"]


@pytest.mark.parametrize("token", RUBBISH, ids=range(len(RUBBISH)))
def test_rubbish_is_refused(node: Node, token: str) -> None:
    refused(node, f"Bearer {token}", NOT_OURS)


def test_a_running_node_takes_a_new_key_up_and_old_tokens_stay_good(node: Node) -> None:
    before = node.issue()
    assert node.tokens.session(before).user is USER
    kid = node.rotate()
    node.look_again()
    after = node.issue()
    assert jwt.get_unverified_header(after[7:])["kid"] == kid != jwt.get_unverified_header(before[7:])["kid"]
    for given in (before, after):
        assert node.tokens.session(given).user is USER
    node.seconds = NOW + TOKEN_SECONDS + SKEW_SECONDS - 1
    assert node.tokens.session(before).user is USER


def test_an_old_key_goes_when_its_tokens_have_expired(node: Node) -> None:
    old = _key(node)
    kid = node.keys.signing().kid
    node.rotate()
    node.seconds = NOW + TOKEN_SECONDS + SKEW_SECONDS + 2
    forged = _signed(node, old, kid=kid, exp=node.seconds + 60, nbf=node.seconds)
    refused(node, f"Bearer {forged}", NOT_OURS)
    assert len(keys.known_keys(node.seal, token_keys.PREFIX)) == 2
    node.rotate()
    assert kid not in {name.removeprefix("token/") for name, _ in keys.known_keys(node.seal, token_keys.PREFIX)}


def test_revoke_ends_every_token_also_remembered_ones(node: Node) -> None:
    before = node.issue()
    assert node.tokens.session(before).user is USER
    node.rotate(revoke=True)
    node.look_again()
    refused(node, before, NOT_OURS)
    assert node.tokens.session(node.issue()).user is USER


def test_the_newest_key_signs_also_when_the_clock_was_set_back(node: Node) -> None:
    node.seconds -= 86_400
    kid = node.rotate()
    assert node.keys.signing().kid == kid
    node.seconds += 2
    assert TokenKeys(node.store, node.seal, node.micros, Tokens.new_seed).signing().kid == kid


def test_keys_are_bounded(node: Node) -> None:
    for _ in range(KEYS_MAX - 1):
        node.rotate()
    with pytest.raises(SetupError, match="16 keys were made within 60 minutes"):
        node.rotate()
    node.rotate(revoke=True)
    node.rotate()


def test_keys_are_sealed_and_last(node: Node) -> None:
    signing = node.keys.signing()
    again = TokenKeys(node.store, node.seal, node.micros, Tokens.new_seed)
    assert again.signing() == signing
    with pytest.raises(SetupError, match="master key does not open token/"):
        keys.known_keys(Seal(b"\2" * 32), token_keys.PREFIX)
