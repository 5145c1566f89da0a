"""The audit log, where its entries came from, and which of its heads went on chain.

The tables stand here as they were when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import BigIntegerField, BlobField, CharField, Database, Model, TextField


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Make the tables. The log begins with the upgrade."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class LogEntry(Table):
        number = BigIntegerField(primary_key=True)
        body = TextField()
        hash = BlobField()

        class Meta:
            table_name = "log_entry"

    class LogOrigin(Table):
        number = BigIntegerField(primary_key=True)
        at = BigIntegerField()
        sealed = BlobField()

        class Meta:
            table_name = "log_origin"

    class LogAnchor(Table):
        number = BigIntegerField(primary_key=True)
        hash = BlobField()
        at = BigIntegerField()
        tx_hash = CharField()

        class Meta:
            table_name = "log_anchor"

    db.create_tables([LogEntry, LogOrigin, LogAnchor])
