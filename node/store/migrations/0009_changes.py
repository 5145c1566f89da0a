"""The feed of changes, and webhooks.

Triggers write the feed: a change of a circ and its row can't part, whoever makes the change. The tables stand here as
they were when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

import secrets
from typing import Any

from peewee import (
    AutoField,
    BigIntegerField,
    BlobField,
    CharField,
    Database,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)

NOW = "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"
TRIGGERS = (
    """
    CREATE TRIGGER change_recorded AFTER INSERT ON circ BEGIN
        INSERT INTO change (circ_id, kind, at) VALUES (new.id, 1, new.created_at);
    END""",
    f"""
    CREATE TRIGGER change_status AFTER UPDATE OF status ON circ WHEN new.status <> old.status BEGIN
        INSERT INTO change (circ_id, kind, tx_hash, reason, at) VALUES (
            new.id,
            CASE new.status WHEN 'success' THEN 2 WHEN 'failed' THEN 3 ELSE 4 END,
            CASE new.status WHEN 'success' THEN (SELECT mined_hash FROM outbox WHERE id = new.outbox_id) END,
            CASE new.status WHEN 'failed' THEN new.reason END,
            {NOW});
    END""",
    f"""
    CREATE TRIGGER change_resigned AFTER UPDATE OF live_hash ON outbox WHEN new.kind = 'circ' BEGIN
        INSERT INTO change (circ_id, kind, tx_hash, at)
        SELECT id, 5, new.live_hash, {NOW} FROM circ WHERE outbox_id = new.id;
    END""",
)

LOCK = "PERFORM pg_advisory_xact_lock(1448366659, hashtext(current_schema()))"
NOW_POSTGRES = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
TRIGGERS_POSTGRES = (
    f"""
    CREATE FUNCTION change_recorded() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        {LOCK};
        INSERT INTO change (circ_id, kind, at) SELECT id, 1, created_at FROM new_circ ORDER BY id;
        RETURN NULL;
    END $$""",
    """
    CREATE TRIGGER change_recorded AFTER INSERT ON circ REFERENCING NEW TABLE AS new_circ
    FOR EACH STATEMENT EXECUTE FUNCTION change_recorded()""",
    f"""
    CREATE FUNCTION change_status() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        {LOCK};
        INSERT INTO change (circ_id, kind, tx_hash, reason, at) SELECT
            n.id,
            CASE n.status WHEN 'success' THEN 2 WHEN 'failed' THEN 3 ELSE 4 END,
            CASE n.status WHEN 'success' THEN (SELECT mined_hash FROM outbox WHERE id = n.outbox_id) END,
            CASE n.status WHEN 'failed' THEN n.reason END,
            {NOW_POSTGRES}
        FROM new_circ n JOIN old_circ o ON o.id = n.id WHERE n.status <> o.status ORDER BY n.id;
        RETURN NULL;
    END $$""",
    """
    CREATE TRIGGER change_status AFTER UPDATE ON circ REFERENCING OLD TABLE AS old_circ NEW TABLE AS new_circ
    FOR EACH STATEMENT EXECUTE FUNCTION change_status()""",
    f"""
    CREATE FUNCTION change_resigned() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        {LOCK};
        INSERT INTO change (circ_id, kind, tx_hash, at)
        SELECT id, 5, new.live_hash, {NOW_POSTGRES} FROM circ WHERE outbox_id = new.id;
        RETURN NULL;
    END $$""",
    """
    CREATE TRIGGER change_resigned AFTER UPDATE OF live_hash ON outbox
    FOR EACH ROW WHEN (new.kind = 'circ') EXECUTE FUNCTION change_resigned()""",
)
"""The same for PostgreSQL, a statement of the feed for a statement of the change. The lock (node/store/advisory.py)
makes the numbers grow in the order of commits, whoever writes; a writer of this node has it already."""


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Make the tables and the triggers."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Org(Table):
        id = AutoField()

        class Meta:
            table_name = "org"

    class Change(Table):
        circ_id = IntegerField(index=True)
        kind = IntegerField()
        tx_hash = CharField(null=True)
        reason = TextField(null=True)
        at = BigIntegerField()

        class Meta:
            table_name = "change"

    class Feed(Table):
        epoch = CharField(primary_key=True)

        class Meta:
            table_name = "feed"

    class Webhook(Table):
        org = ForeignKeyField(Org)
        url = CharField()
        secret_sealed = BlobField()
        epoch = CharField()
        position = BigIntegerField()
        batch_end = BigIntegerField(null=True)
        created_at = BigIntegerField()
        failing_since = BigIntegerField(null=True)
        failures = IntegerField(default=0)
        next_at = BigIntegerField(default=0)
        last_error = TextField(default="")
        disabled_at = BigIntegerField(null=True)

        class Meta:
            table_name = "webhook"

    db.create_tables([Change, Feed, Webhook])
    Feed.create(epoch=secrets.token_hex(4))
    for trigger in TRIGGERS if isinstance(db, SqliteDatabase) else TRIGGERS_POSTGRES:
        db.execute_sql(trigger)  # type: ignore[no-untyped-call]
