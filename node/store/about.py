"""What a copy of an index says of itself, without opening it as the index of this process."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from node.errors import SetupError
from node.store.db import HISTORY, MIGRATIONS


@dataclass(frozen=True, slots=True)
class About:
    """The newest migration that an index has, and the chain and contract that it belongs to, empty if to none yet."""

    schema: str
    chain_id: str
    contract: str


def about(path: Path) -> About:
    """Of the SQLite index in a file. SetupError for a file that is none."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
            (schema,) = db.execute(f"SELECT max(name) FROM {HISTORY}").fetchone()
            settings = dict(db.execute("SELECT name, value FROM setting WHERE name IN ('chain_id', 'contract')"))
    except sqlite3.Error as fault:
        raise SetupError(f"{path}: {fault}; it is not an index of VTrace or is damaged") from fault
    return About(str(schema), settings.get("chain_id", ""), settings.get("contract", ""))


def refuse_newer(schema: str) -> None:
    """SetupError for the schema of an index that a newer version made."""
    if schema > max(path.stem for path in MIGRATIONS.glob("[0-9]*.py")):
        raise SetupError(f"made by a newer VTrace (schema {schema}); restore it with that version")
