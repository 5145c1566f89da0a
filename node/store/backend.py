"""What differs between the databases that an index can live in, behind one interface."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from node.measures import Histogram
from node.store.lead import Lead
from node.store.turn import Turn

Where = Path | str
"""Where an index is: a SQLite file, or the URL of a PostgreSQL database."""


class Closing(Protocol):
    """Something that is held until it is closed."""

    def close(self) -> object: ...


class Backend(Protocol):
    """A database of peewee that can also do what follows. Its faults are IndexUnavailable or peewee's."""

    place: str
    """What messages call it."""

    @property
    def waited(self) -> Histogram | None:
        """How long threads waited for a connection, where they share a few."""

    def writing(self) -> AbstractContextManager[Any]:
        """A transaction that no other writer runs beside, in this process or another; inside one, a part of it."""

    def reading(self) -> AbstractContextManager[Any]:
        """A transaction that sees one moment and writes nothing."""

    def alone(self) -> Closing:
        """Let nobody else open the index until what this answers is closed. SetupError if others have it open."""

    def turn(self) -> Turn | None:
        """What the writers of several processes wait for, where the database gives them no fair turns itself."""

    def lead(self, name: str) -> Lead:
        """The lead of a part of the work, for one of all processes that have the index open."""

    def migrating(self) -> AbstractContextManager[Any]:
        """What the migrations run in."""

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """One statement for each of ``rows``, in few turns."""

    def json_text(self, column: str, name: str) -> str:
        """SQL for the text that JSON in a column has under a name; neither is a caller's value."""

    def write_anew(self) -> None:
        """Leave nothing of what was deleted where the tables are kept. IndexUnavailable while others use it."""

    def close_all(self) -> None:
        """Close every connection."""

    # What peewee's databases have

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run one statement."""

    def get_tables(self) -> list[str]:
        """The names of the tables that are there."""

    def in_transaction(self) -> bool:
        """Whether this thread has a transaction open."""

    def close(self) -> Any:
        """Let go of what this thread holds."""


def opened(where: Where) -> Backend:
    """The backend for a place."""
    if isinstance(where, Path):
        from node.store.sqlite import Sqlite

        return Sqlite(where)
    from node.store.postgres import Postgres  # its driver takes memory and a while to load

    return Postgres(where)
