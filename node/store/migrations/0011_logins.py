"""Failed logins, and the networks that users logged in from. The one key for tokens makes room for several.

The table stands here as it was when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import BigIntegerField, BlobField, CharField, Database, IntegerField, Model


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Make the table. Tokens of the one key name no key, so they end here: everybody logs in once more."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Login(Table):
        account = BlobField()
        network = BlobField()
        failures = IntegerField()
        last_at = BigIntegerField(index=True)

        class Meta:
            table_name = "login"
            indexes = ((("account", "network"), True),)

    class SealedKey(Table):
        name = CharField(primary_key=True)

        class Meta:
            table_name = "sealed_key"

    db.create_tables([Login])
    SealedKey.delete().where(SealedKey.name == "token").execute()
