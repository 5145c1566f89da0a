"""The id of a request in a call's metadata. Callers get it back as trailing metadata, or as a header of the answer."""

from __future__ import annotations

from collections.abc import Iterable

from node.domain.request_ids import request_id

NAME = "x-request-id"


def of(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The caller's own id for the request if it is one, else a new one."""
    return request_id(value for name, value in metadata if name == NAME)
