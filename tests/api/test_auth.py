"""Tokens: what is remembered of one is never what can change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from node.api.auth import TOKEN_SECONDS, Tokens
from node.domain.records import User
from node.domain.roles import Role
from node.errors import VTraceError

NOW = 1_760_000_000


class Node:
    """Tokens of a node with one user and a clock that stands."""

    def __init__(self) -> None:
        self.seconds = NOW
        self.user: User | None = User(
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
        self.tokens = Tokens(Tokens.new_seed(), lambda user_id: self.user if user_id == 7 else None, self.micros)

    def micros(self) -> int:
        return self.seconds * 1_000_000

    def issue(self) -> str:
        assert self.user is not None
        return f"Bearer {self.tokens.issue(self.user)}"


def refused(node: Node, authorization: str, why: str) -> None:
    for _ in range(2):
        with pytest.raises(VTraceError, match=why):
            node.tokens.caller(authorization)


def test_the_user_is_as_it_is_now() -> None:
    node = Node()
    assert node.user is not None
    given = node.issue()
    assert node.tokens.caller(given) is node.user
    node.user = replace(node.user, role=Role.BOSS)
    assert node.tokens.caller(given).role is Role.BOSS


def test_a_known_token_expires() -> None:
    node = Node()
    given = node.issue()
    node.seconds += TOKEN_SECONDS - 1
    assert node.tokens.caller(given) is node.user
    node.seconds += 1
    refused(node, given, "expired")
    node.seconds = NOW - 1
    refused(node, given, "expired")


def test_a_known_token_dies_with_its_epoch_or_user() -> None:
    node = Node()
    assert node.user is not None
    given = node.issue()
    assert node.tokens.caller(given) is node.user
    known, node.user = node.user, replace(node.user, token_epoch=4)
    refused(node, given, "revoked")
    node.user = replace(known, deleted=True)
    refused(node, given, "revoked")
    node.user = None
    refused(node, given, "revoked")
    node.user = known
    assert node.tokens.caller(given) is known


def test_another_nodes_token_is_refused_each_time() -> None:
    node, other = Node(), Node()
    refused(node, other.issue(), "not one of this node's")
    given = node.issue()
    assert node.tokens.caller(given) is node.user
    refused(node, given[:-2], "not one of this node's")
