"""The first schema: people, products, custody, circs and the outbox.

The tables stand here as they were when this migration was written; node/store/tables.py has today's.
"""

from __future__ import annotations

from typing import Any

from peewee import (
    SQL,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    CompositeKey,
    Database,
    DeferredForeignKey,
    ForeignKeyField,
    IntegerField,
    Model,
    SqliteDatabase,
    TextField,
)


def up(migrator: Any, db: Database) -> None:  # noqa: ARG001
    """Make every table."""

    class Table(Model):
        class Meta:
            database = db
            legacy_table_names = False

    class Setting(Table):
        name = CharField(primary_key=True)
        value = TextField()

        class Meta:
            table_name = "setting"

    class SealedKey(Table):
        name = CharField(primary_key=True)
        sealed = BlobField()

        class Meta:
            table_name = "sealed_key"

    class User(Table):
        username = CharField(unique=True)
        nickname = CharField()
        phone = CharField()
        email = CharField(default="")
        avatar = CharField(default="")
        role = CharField()
        password_hash = CharField()
        token_epoch = IntegerField(default=0)
        deleted = BooleanField(default=False)
        realname = CharField(default="")
        resident_id_sealed = BlobField(null=True)
        resident_id_masked = CharField(default="")
        org = DeferredForeignKey("Org", null=True)
        role_before = CharField(null=True)
        created_at = BigIntegerField()

        class Meta:
            table_name = "user"

    User.add_index(User.phone, unique=True, where=SQL("NOT deleted"), name="user_phone_live")

    class Org(Table):
        name = CharField()
        code = CharField(unique=True)
        legal_name = CharField()
        legal_phone = CharField()
        info = BlobField(default=b"")
        owner = ForeignKeyField(User)
        created_at = BigIntegerField()

        class Meta:
            table_name = "org"

    class GoodsClass(Table):
        name = CharField()
        description = BlobField(default=b"")
        trademark = CharField(default="")
        material_id = IntegerField(default=0)
        state = CharField()
        org = ForeignKeyField(Org)
        creator = ForeignKeyField(User, index=False)
        created_at = BigIntegerField()

        class Meta:
            table_name = "goods_class"

    class Serial(Table):
        goods_class = ForeignKeyField(GoodsClass)
        product_time = BigIntegerField()
        state = CharField()
        creator = ForeignKeyField(User, index=False)
        created_at = BigIntegerField()

        class Meta:
            table_name = "serial"

    class Goods(Table):
        serial = ForeignKeyField(Serial)
        state = CharField()
        creator = ForeignKeyField(User, index=False)
        holder = IntegerField(default=0)
        times = IntegerField(default=0)

        class Meta:
            table_name = "goods"

    class Outbox(Table):
        signer = CharField()
        nonce = BigIntegerField()
        kind = CharField()
        signed_bytes = BlobField()
        tx_hash = CharField(unique=True)
        state = CharField()
        block_number = BigIntegerField(null=True)
        block_hash = CharField(null=True)
        mined_hash = CharField(null=True)

        class Meta:
            table_name = "outbox"
            indexes = ((("signer", "nonce"), True), (("state", "nonce"), False))

    class Actor(Table):
        id = IntegerField(primary_key=True)
        user = ForeignKeyField(User, unique=True)
        account = CharField()
        key_sealed = BlobField()
        rights = IntegerField()
        registered_by = ForeignKeyField(Outbox, unique=True)

        class Meta:
            table_name = "actor"

    class Circ(Table):
        circ_type = IntegerField()
        operator = ForeignKeyField(Actor, index=False, backref="operated")
        to = ForeignKeyField(Actor, column_name="to_id", index=False, backref="received")
        form = BlobField()
        salt = BlobField()
        status = CharField()
        outbox = ForeignKeyField(Outbox, unique=True)
        created_at = BigIntegerField()

        class Meta:
            table_name = "circ"

    class CircGoods(Table):
        goods_id = IntegerField()
        circ_id = IntegerField(index=True)
        times = IntegerField(null=True)

        class Meta:
            table_name = "circ_goods"
            primary_key = CompositeKey("goods_id", "circ_id")
            without_rowid = isinstance(db, SqliteDatabase)

    tables = [Setting, SealedKey, User, Org, GoodsClass, Serial, Goods, Outbox, Actor, Circ, CircGoods]
    db.create_tables(tables)
