"""How often goods' codes are scanned, and what is unusual about it.

The tables stand here as they were when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import BigIntegerField, BlobField, CharField, CompositeKey, Database, IntegerField, Model


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Make the tables."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Scan(Table):
        goods_id = IntegerField()
        day = IntegerField(index=True)
        place = CharField()
        scans = BigIntegerField()
        readers = BigIntegerField()

        class Meta:
            table_name = "scan"
            primary_key = CompositeKey("goods_id", "day", "place")

    class ScanReader(Table):
        goods_id = IntegerField()
        reader = BlobField()

        class Meta:
            table_name = "scan_reader"
            primary_key = CompositeKey("goods_id", "reader")

    class ScanAlert(Table):
        goods_id = IntegerField(primary_key=True)
        serial_id = IntegerField(index=True)
        org_id = IntegerField(index=True)
        level = CharField()
        scans = BigIntegerField()
        readers = BigIntegerField()
        places = IntegerField()
        usual_readers = BigIntegerField()
        usual_places = IntegerField()
        since = BigIntegerField()

        class Meta:
            table_name = "scan_alert"

    db.create_tables([Scan, ScanReader, ScanAlert])
