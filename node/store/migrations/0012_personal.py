"""Personal data of users and orgs in tables of their own, sealed; circs whose form is private, or was forgotten.

There is no master key here, so what stood open waits in ``unsealed_person`` and ``unsealed_contact`` until whoever
opens the data directory with its key has sealed it (``node.store.unsealed``), which drops both. The tables stand here
as they were when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import BlobField, BooleanField, Database, ForeignKeyField, Model

PERSON = ("phone", "email", "realname", "resident_id_sealed")
CONTACT = ("legal_name", "legal_phone")


def up(migrator: Any, db: Database) -> None:
    """Make the tables, and move what they are for out of the others."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class User(Table):
        class Meta:
            table_name = "user"

    class Org(Table):
        class Meta:
            table_name = "org"

    class Person(Table):
        user = ForeignKeyField(User, primary_key=True)
        phone_index = BlobField(null=True, unique=True)
        phone_sealed = BlobField()
        email_sealed = BlobField(null=True)
        realname_sealed = BlobField(null=True)
        resident_id_sealed = BlobField(null=True)

        class Meta:
            table_name = "person"

    class OrgContact(Table):
        org = ForeignKeyField(Org, primary_key=True)
        legal_name_sealed = BlobField()
        legal_phone_sealed = BlobField()

        class Meta:
            table_name = "org_contact"

    db.create_tables([Person, OrgContact])
    run: Any = db.execute_sql
    for table, waiting, kept in (
        ("user", "unsealed_person", (*PERSON, "deleted")),
        ("org", "unsealed_contact", CONTACT),
    ):
        (total,) = run(f'SELECT count(*) FROM "{table}"').fetchone()
        if total:
            run(f'CREATE TABLE {waiting} AS SELECT id, {", ".join(kept)} FROM "{table}"')
    run("DROP INDEX user_phone_live")
    for column in (*PERSON, "resident_id_masked"):
        run(f'ALTER TABLE "user" DROP COLUMN {column}')
    for column in CONTACT:
        run(f"ALTER TABLE org DROP COLUMN {column}")
    migrator.migrate(
        migrator.add_column("circ", "private", BooleanField(null=True)),
        migrator.add_column("circ", "erased_digest", BlobField(null=True)),
    )
