"""Files: what the index remembers of content that is kept under a CID.

The table stands here as it was when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import BigIntegerField, CharField, Database, ForeignKeyField, Model, TextField


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Make the table."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class User(Table):
        class Meta:
            table_name = "user"

    class File(Table):
        cid = CharField()
        size = BigIntegerField()
        sniffed = CharField()
        declared = CharField()
        filename = CharField()
        uploader = ForeignKeyField(User)
        own = TextField()
        created_at = BigIntegerField()

        class Meta:
            table_name = "file"
            indexes = ((("cid", "uploader"), True),)

    db.create_tables([File])
