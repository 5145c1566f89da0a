"""What lists and the start of a node need, so that neither reads a table from end to end.

Serials and goods say whose they are, which their class does: no index reaches over three tables.
"""

from __future__ import annotations

from typing import Any

from peewee import Database

STATEMENTS = (
    'ALTER TABLE "serial" ADD COLUMN "org_id" INTEGER DEFAULT 0 NOT NULL',
    'ALTER TABLE "goods" ADD COLUMN "org_id" INTEGER DEFAULT 0 NOT NULL',
    "UPDATE serial SET org_id = (SELECT org_id FROM goods_class WHERE goods_class.id = goods_class_id)",
    "UPDATE goods SET org_id = (SELECT org_id FROM serial WHERE serial.id = serial_id)",
    'CREATE INDEX "serial_org_id_id" ON "serial" ("org_id", "id")',
    'CREATE INDEX "goods_org_id_id" ON "goods" ("org_id", "id")',
    'CREATE INDEX "actor_sovereign_by" ON "actor" ("sovereign_by")',
    'CREATE INDEX "user_deleted" ON "user" ("id") WHERE deleted',
    'CREATE INDEX "circ_private" ON "circ" ("operator_id") WHERE private',
)


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Add columns and indexes."""
    for statement in STATEMENTS:
        db.execute_sql(statement)  # type: ignore[no-untyped-call]
