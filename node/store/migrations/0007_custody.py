"""Actors whose account is their owner's own.

The columns stand here as they were when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import CharField, Database, IntegerField


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Add the columns; all may be null, so no table is written anew."""
    migrator.migrate(
        migrator.add_column("actor", "sovereign_by", IntegerField(null=True)),
        migrator.add_column("actor", "account_before", CharField(null=True)),
    )
