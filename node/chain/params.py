"""The params of JSON-RPC calls that others make of this node: read strictly, refused with what was wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from node.chain import shape
from node.chain.transport import INVALID_PARAMS, RpcError


class Params:
    """A call's params, taken one after the other; whatever is misshapen is an RpcError that says so."""

    def __init__(self, values: Any) -> None:
        if not isinstance(values, list):
            raise RpcError(INVALID_PARAMS, f"params: want an array, got {shape.shown(values)}")
        self._values = values
        self._next = 0

    def take(self, what: str, read: Callable[[Any], Any], *default: Any) -> Any:
        """The next one. With a default it may be missing or null."""
        place, self._next = self._next, self._next + 1
        value = self._values[place] if place < len(self._values) else None
        return read_param(f"param {place + 1} ({what})", value, read, default)

    def more(self) -> bool:
        """Whether there are params left that aren't null."""
        return any(value is not None for value in self._values[self._next :])


class Members:
    """The same for the members of an object."""

    def __init__(self, values: dict[str, Any]) -> None:
        self._values = values

    def take(self, name: str, read: Callable[[Any], Any], *default: Any) -> Any:
        return read_param(name, self._values.get(name), read, default)


def read_param(what: str, value: Any, read: Callable[[Any], Any], default: tuple[Any, ...]) -> Any:
    """One value, read; null takes the default if there is one. RpcError -32602 names it as ``what``."""
    if value is None and default:
        return default[0]
    try:
        return read(value)
    except shape.ShapeError as error:
        raise RpcError(INVALID_PARAMS, f"{what}: {error}") from None


def hash32(value: Any) -> bytes:
    return shape.data(value, 32)


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise shape.ShapeError(f"want true or false, got {shape.shown(value)}")
    return value


def block_tag(value: Any) -> int | str:
    """A block's number or tag. What is mined here is final, so four of the tags mean the same."""
    if value in ("latest", "earliest", "pending", "finalized", "safe"):
        return str(value)
    try:
        number = shape.quantity(value)
    except shape.ShapeError:
        raise shape.ShapeError(
            f"want a hex number, latest, earliest, pending, safe or finalized, got {shape.shown(value)}"
        ) from None
    if number >= 2**63:
        raise shape.ShapeError(f"want a block number below 2^63, got {shape.shown(value)}")
    return number
