"""What requests of lists have in common."""

from __future__ import annotations

from typing import Protocol

from node.domain.pages import Place


class Paged(Protocol):
    """A request of a list."""

    offset: int
    limit: int
    page_token: str


def place_of(request: Paged) -> Place:
    """Where the page begins that a request asks for."""
    return Place(request.offset, request.limit, request.page_token)
