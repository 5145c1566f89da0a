"""Captured events of EPCIS: the capture jobs, and which events became which circs.

The tables stand here as they were when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import BigIntegerField, BlobField, BooleanField, CharField, Database, IntegerField, Model, TextField


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Make the tables."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class CaptureJob(Table):
        capture_id = CharField(unique=True)
        user_id = IntegerField(index=True)
        created_at = BigIntegerField(index=True)
        finished_at = BigIntegerField()
        success = BooleanField()
        outcome = TextField()

        class Meta:
            table_name = "capture_job"

    class CapturedEvent(Table):
        user_id = IntegerField()
        event_hash = BlobField()
        trans_id = CharField()

        class Meta:
            table_name = "captured_event"
            indexes = ((("user_id", "event_hash", "trans_id"), True),)

    db.create_tables([CaptureJob, CapturedEvent])
