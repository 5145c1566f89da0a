"""Answers of calls with an idempotency key.

The table stands here as it was when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import BigIntegerField, BlobField, CharField, Database, Model


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Make the table."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Idempotency(Table):
        scope = CharField()
        key = CharField()
        rpc = CharField()
        request_digest = BlobField()
        answer_sealed = BlobField()
        created_at = BigIntegerField(index=True)

        class Meta:
            table_name = "idempotency"
            indexes = ((("scope", "key"), True),)

    db.create_tables([Idempotency])
