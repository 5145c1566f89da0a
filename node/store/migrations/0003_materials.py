"""Materials, and the ids of models."""

from __future__ import annotations

from typing import Any

from peewee import BigIntegerField, CharField, Database, IntegerField, Model, TextField


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Make the two tables."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Material(Table):
        name = CharField(unique=True)
        other_name = CharField(column_name="alias", default="")
        description = TextField(default="")
        created_at = BigIntegerField()

        class Meta:
            table_name = "material"

    class RecognitionModel(Table):
        name = CharField()
        version = IntegerField()

        class Meta:
            table_name = "model"
            indexes = ((("name", "version"), True),)

    db.create_tables([Material, RecognitionModel])
