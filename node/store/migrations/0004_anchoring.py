"""Anchoring: several signers, transactions that were signed again, why circs failed, how far the chain was followed.

The tables stand here as they were when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import (
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    CompositeKey,
    Database,
    IntegerField,
    Model,
    TextField,
)


def up(migrator: Any, db: Database) -> None:
    """Make the tables and add the columns; all columns may be null, so no table is written anew."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Replaced(Table):
        outbox_id = IntegerField(index=True)
        tx_hash = CharField(unique=True)
        signed_bytes = BlobField()
        signed_at = BigIntegerField()

        class Meta:
            table_name = "replaced"

    class Wait(Table):
        outbox_id = IntegerField()
        waits_for = IntegerField()

        class Meta:
            table_name = "wait"
            primary_key = CompositeKey("outbox_id", "waits_for")

    class Lane(Table):
        signer = CharField(primary_key=True)
        position = IntegerField()
        is_open = BooleanField()
        nonce_on_chain = BigIntegerField(null=True)
        balance = CharField(null=True)
        trouble = TextField(default="")

        class Meta:
            table_name = "lane"

    class Progress(Table):
        name = CharField(primary_key=True)
        value = TextField()
        at = BigIntegerField()

        class Meta:
            table_name = "progress"

    db.create_tables([Replaced, Wait, Lane, Progress])
    migrator.migrate(
        migrator.add_column("outbox", "live_hash", CharField(null=True)),
        migrator.add_column("outbox", "signed_at", BigIntegerField(null=True)),
        migrator.drop_index("outbox", "outbox_state_nonce"),
        migrator.add_index("outbox", ("state", "signer", "nonce"), name="outbox_state_signer_nonce"),
        migrator.add_index("outbox", ("block_number",), name="outbox_block_number"),
        migrator.add_column("goods", "last_outbox", IntegerField(null=True)),
        migrator.add_column("actor", "last_outbox", IntegerField(null=True)),
        migrator.add_column("circ", "reason", TextField(null=True)),
    )
