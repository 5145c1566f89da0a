"""Published forms: which circs' blocks ``salt ‖ form`` stand in the store of files.

The table stands here as it was when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import CharField, Database, IntegerField, Model


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Make the table."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Published(Table):
        circ_id = IntegerField(primary_key=True)
        cid = CharField(unique=True)
        size = IntegerField()

        class Meta:
            table_name = "published"

    db.create_tables([Published])
