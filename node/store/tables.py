"""The index's tables. The schema itself is made by the numbered migrations; a test holds both together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeVar

from peewee import (
    SQL,
    AutoField,
    BigIntegerField,
    BlobField,
    BooleanField,
    CharField,
    CompositeKey,
    DatabaseProxy,
    DeferredForeignKey,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

IDS_PER_QUERY = 5_000
ROWS_PER_QUERY = (64, 16, 4, 1)

database = DatabaseProxy()

V = TypeVar("V", int, str)


class Table(Model):
    """Base of all tables: they live in the one index that this process has open."""

    class Meta:
        database = database
        legacy_table_names = False


def tuples(query: Any) -> Iterable[tuple[Any, ...]]:
    """The rows of a query as plain tuples."""
    rows: Iterable[tuple[Any, ...]] = query.tuples()
    return rows


def run(sql: str, *values: object) -> Any:
    """Execute SQL that stands ready, for what every circ does: peewee writes a query anew each time it runs.

    Values stand as ``?``. Answers the driver's cursor, whose rows are tuples.
    """
    return database.execute_sql(sql if database.param == "?" else sql.replace("?", database.param), values)


def run_many(sql: str, rows: Iterable[Sequence[object]]) -> None:
    """``run`` for each of ``rows``, as one call of the driver."""
    database.cursor().executemany(sql if database.param == "?" else sql.replace("?", database.param), rows)


def places(total: int) -> str:
    """``(?, ?, …)`` for ``total`` values of an IN."""
    return f"({', '.join('?' * total)})"


def run_rows(sql: str, rows: Sequence[Sequence[object]]) -> list[tuple[Any, ...]]:
    """``run`` for all of ``rows``, of one width, which stand in the SQL as ``VALUES {rows}``. Answers what it returns.

    They go in portions of a few sizes: a statement is kept for each, and that of 64 rows takes 130 KiB in each thread.
    """
    found: list[tuple[Any, ...]] = []
    at = 0
    while at < len(rows):
        size = next(size for size in ROWS_PER_QUERY if size <= len(rows) - at)
        some = rows[at : at + size]
        at += size
        values = ", ".join([places(len(some[0]))] * size)
        answered = run(sql.format(rows=values), *[value for row in some for value in row])
        if answered.description is not None:
            found += answered.fetchall()
    return found


def cut(ids: Collection[V]) -> Iterable[list[V]]:
    """Ids, or what else names rows, in portions that one query takes."""
    ordered = list(ids)
    return (ordered[at : at + IDS_PER_QUERY] for at in range(0, len(ordered), IDS_PER_QUERY))


class Setting(Table):
    """What this data directory belongs to: chain id, contract, genesis hash."""

    name = CharField(primary_key=True)
    value = TextField()

    class Meta:
        table_name = "setting"


class SealedKey(Table):
    """A private key of the node itself, sealed under the master key."""

    name = CharField(primary_key=True)
    sealed = BlobField()

    class Meta:
        table_name = "sealed_key"


class User(Table):
    """Somebody with a login. What tells who it is stands in Person, sealed."""

    id = AutoField()
    username = CharField(unique=True)
    nickname = CharField()
    avatar = CharField(default="")
    role = CharField()
    password_hash = CharField()
    token_epoch = IntegerField(default=0)
    deleted = BooleanField(default=False)
    org = DeferredForeignKey("Org", null=True)
    org_id: int | None
    role_before = CharField(null=True)
    created_at = BigIntegerField()

    class Meta:
        table_name = "user"


class Person(Table):
    """What tells who a user is, each value sealed; none once it is erased.

    The login is looked up by ``phone_index``, which a deleted user has no more, so that the phone is free.
    """

    user = ForeignKeyField(User, primary_key=True)
    phone_index = BlobField(null=True, unique=True)
    phone_sealed = BlobField()
    email_sealed = BlobField(null=True)
    realname_sealed = BlobField(null=True)
    resident_id_sealed = BlobField(null=True)

    class Meta:
        table_name = "person"


class Org(Table):
    """An organisation whose members produce goods."""

    id = AutoField()
    name = CharField()
    code = CharField(unique=True)
    info = BlobField(default=b"")
    owner = ForeignKeyField(User)
    created_at = BigIntegerField()

    class Meta:
        table_name = "org"


class OrgContact(Table):
    """An org's legal representative, sealed; none once its owner is erased."""

    org = ForeignKeyField(Org, primary_key=True)
    legal_name_sealed = BlobField()
    legal_phone_sealed = BlobField()

    class Meta:
        table_name = "org_contact"


class GoodsClass(Table):
    """A kind of product of an org."""

    id = AutoField()
    name = CharField()
    description = BlobField(default=b"")
    trademark = CharField(default="")
    material_id = IntegerField(default=0)
    state = CharField()
    org = ForeignKeyField(Org)
    org_id: int
    creator = ForeignKeyField(User, index=False)
    created_at = BigIntegerField()

    class Meta:
        table_name = "goods_class"


class Serial(Table):
    """A production batch of a class. ``org_id`` is its class's."""

    id = AutoField()
    goods_class = ForeignKeyField(GoodsClass)
    product_time = BigIntegerField()
    state = CharField()
    creator = ForeignKeyField(User, index=False)
    created_at = BigIntegerField()
    org_id = IntegerField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "serial"
        indexes = ((("org_id", "id"), False),)


class Goods(Table):
    """One traceable item, with its custody once every pending circ has succeeded. ``org_id`` is its serial's."""

    id = AutoField()
    serial = ForeignKeyField(Serial)
    state = CharField()
    creator = ForeignKeyField(User, index=False)
    holder = IntegerField(default=0)
    times = IntegerField(default=0)
    last_outbox = IntegerField(null=True)
    org_id = IntegerField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "goods"
        indexes = ((("org_id", "id"), False),)


class Outbox(Table):
    """Every transaction that the node ever signed, before it was sent.

    ``tx_hash`` is the hash that it was first known by; ``live_hash`` the one of ``signed_bytes``, if they were signed
    again; ``mined_hash`` the one that did its work.
    """

    id = AutoField()
    signer = CharField()
    nonce = BigIntegerField()
    kind = CharField()
    signed_bytes = BlobField()
    signed_at = BigIntegerField(null=True)
    tx_hash = CharField(unique=True)
    live_hash = CharField(null=True)
    state = CharField()
    block_number = BigIntegerField(null=True, index=True)
    block_hash = CharField(null=True)
    mined_hash = CharField(null=True)

    class Meta:
        table_name = "outbox"
        indexes = ((("signer", "nonce"), True), (("state", "signer", "nonce"), False))


class Replaced(Table):
    """What a transaction of the outbox was before it was signed again with higher fees. It may still be mined."""

    id = AutoField()
    outbox_id = IntegerField(index=True)
    tx_hash = CharField(unique=True)
    signed_bytes = BlobField()
    signed_at = BigIntegerField()

    class Meta:
        table_name = "replaced"


class Wait(Table):
    """A transaction that must not be sent before one of another lane is final."""

    outbox_id = IntegerField()
    waits_for = IntegerField()

    class Meta:
        table_name = "wait"
        primary_key = CompositeKey("outbox_id", "waits_for")


class Lane(Table):
    """A signer of the node, and what was last seen of it."""

    signer = CharField(primary_key=True)
    position = IntegerField()
    is_open = BooleanField()
    nonce_on_chain = BigIntegerField(null=True)
    balance = CharField(null=True)
    trouble = TextField(default="")

    class Meta:
        table_name = "lane"


class Progress(Table):
    """How far the chain was followed, and what went wrong last."""

    name = CharField(primary_key=True)
    value = TextField()
    at = BigIntegerField()

    class Meta:
        table_name = "progress"


class Actor(Table):
    """A user as the contract knows it; the id is the contract's.

    ``sovereign_by`` is the transaction that gave it an account of its owner's instead of ``account_before``, or 0 where
    only the chain tells of it; once that is final ``key_sealed`` is empty.
    """

    id = IntegerField(primary_key=True)
    user = ForeignKeyField(User, unique=True)
    user_id: int
    account = CharField()
    key_sealed = BlobField()
    rights = IntegerField()
    registered_by = ForeignKeyField(Outbox, unique=True)
    last_outbox = IntegerField(null=True)
    sovereign_by = IntegerField(null=True, index=True)
    account_before = CharField(null=True)

    class Meta:
        table_name = "actor"


class Circ(Table):
    """One transaction's circ: what happened, by whom, with which form.

    ``erased_digest`` is set where a private form was forgotten; form and salt are then empty and NO_SALT.
    """

    id = AutoField()
    circ_type = IntegerField()
    operator = ForeignKeyField(Actor, index=False, backref="operated")
    operator_id: int
    to = ForeignKeyField(Actor, column_name="to_id", index=False, backref="received")
    form = BlobField()
    salt = BlobField()
    status = CharField()
    outbox = ForeignKeyField(Outbox, unique=True)
    reason = TextField(null=True)
    created_at = BigIntegerField()
    private = BooleanField(null=True)
    erased_digest = BlobField(null=True)

    class Meta:
        table_name = "circ"


class CircGoods(Table):
    """One goods of a circ. ``times`` is null once the circ has failed."""

    goods_id = IntegerField()
    circ_id = IntegerField(index=True)
    times = IntegerField(null=True)

    class Meta:
        table_name = "circ_goods"
        primary_key = CompositeKey("goods_id", "circ_id")
        without_rowid = True


class File(Table):
    """A content that somebody uploaded, and what was said of it."""

    id = AutoField()
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


class Material(Table):
    """What goods can consist of. A row is never deleted, so that an id always means the same."""

    id = AutoField()
    name = CharField(unique=True)
    other_name = CharField(column_name="alias", default="")
    description = TextField(default="")
    created_at = BigIntegerField()

    class Meta:
        table_name = "material"


class RecognitionModel(Table):
    """The id of one version of a model that this node has met; all else stands in its card."""

    id = AutoField()
    name = CharField()
    version = IntegerField()

    class Meta:
        table_name = "model"
        indexes = ((("name", "version"), True),)


class Published(Table):
    """A circ whose block ``salt ‖ form`` stands in the store of files, for everybody to read."""

    circ_id = IntegerField(primary_key=True)
    cid = CharField(unique=True)
    size = IntegerField()

    class Meta:
        table_name = "published"


class Idempotency(Table):
    """The answer of a call that had an idempotency key; ``scope`` says whose key it is."""

    id = AutoField()
    scope = CharField()
    key = CharField()
    rpc = CharField()
    request_digest = BlobField()
    answer_sealed = BlobField()
    created_at = BigIntegerField(index=True)

    class Meta:
        table_name = "idempotency"
        indexes = ((("scope", "key"), True),)


class Login(Table):
    """Failed logins of an account (a keyed digest of its phone) from a network that it came in from before, or NOWHERE.

    The networks are keyed digests too.
    """

    id = AutoField()
    account = BlobField()
    network = BlobField()
    failures = IntegerField()
    last_at = BigIntegerField(index=True)

    class Meta:
        table_name = "login"
        indexes = ((("account", "network"), True),)


class Scan(Table):
    """How often goods were scanned on one day (days since 1970, UTC) from one place, and by how many readers."""

    goods_id = IntegerField()
    day = IntegerField(index=True)
    place = CharField()
    scans = BigIntegerField()
    readers = BigIntegerField()

    class Meta:
        table_name = "scan"
        primary_key = CompositeKey("goods_id", "day", "place")


class ScanReader(Table):
    """Who scanned goods on the day that is being counted, under a salt that is forgotten with it."""

    goods_id = IntegerField()
    reader = BlobField()

    class Meta:
        table_name = "scan_reader"
        primary_key = CompositeKey("goods_id", "reader")


class ScanAlert(Table):
    """Goods that are scanned unlike their siblings, and since when."""

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


class Change(Table):
    """A change of a circ, in the order of commits. Triggers write it (migration 0009); the newest is never dropped.

    ``kind`` is a ChangeKind; ``tx_hash`` and ``reason`` are those that came with the change.
    """

    id = AutoField()
    circ_id = IntegerField(index=True)
    kind = IntegerField()
    tx_hash = CharField(null=True)
    reason = TextField(null=True)
    at = BigIntegerField()

    class Meta:
        table_name = "change"


class Feed(Table):
    """One row: the name of this sequence of changes. An index that was rebuilt has another."""

    epoch = CharField(primary_key=True)

    class Meta:
        table_name = "feed"


class Webhook(Table):
    """Where an org wants its changes sent. All up to ``position`` was taken.

    A batch up to ``batch_end`` is under way if that is set. Times are microseconds since 1970.
    """

    id = AutoField()
    org = ForeignKeyField(Org)
    org_id: int
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


class CaptureJob(Table):
    """What became of one captured document of EPCIS events; ``outcome`` is JSON."""

    id = AutoField()
    capture_id = CharField(unique=True)
    user_id = IntegerField(index=True)
    created_at = BigIntegerField(index=True)
    finished_at = BigIntegerField()
    success = BooleanField()
    outcome = TextField()

    class Meta:
        table_name = "capture_job"


class CapturedEvent(Table):
    """An event that a user captured, by the hash of what it says, and a transaction that carries its circ.

    Named by trans_id, which stays whatever number the circ has.
    """

    id = AutoField()
    user_id = IntegerField()
    event_hash = BlobField()
    trans_id = CharField()

    class Meta:
        table_name = "captured_event"
        indexes = ((("user_id", "event_hash", "trans_id"), True),)


class LogEntry(Table):
    """An entry of the audit log. ``hash`` follows from the ``body`` and the entry before: never changed, never removed.

    ``number`` counts from 1 without a gap.
    """

    number = BigIntegerField(primary_key=True)
    body = TextField()
    hash = BlobField()

    class Meta:
        table_name = "log_entry"


class LogOrigin(Table):
    """Where an entry's call came from: salt and address, sealed. It can be forgotten."""

    number = BigIntegerField(primary_key=True)
    at = BigIntegerField()
    sealed = BlobField()

    class Meta:
        table_name = "log_origin"


class LogAnchor(Table):
    """A head of the audit log that went on chain, in the transaction ``tx_hash`` of the outbox."""

    number = BigIntegerField(primary_key=True)
    hash = BlobField()
    at = BigIntegerField()
    tx_hash = CharField()

    class Meta:
        table_name = "log_anchor"


User.add_index(User.id, where=SQL("deleted"), name="user_deleted")
Circ.add_index(Circ.operator, where=SQL("private"), name="circ_private")

TABLES = (
    Setting,
    SealedKey,
    User,
    Person,
    Org,
    OrgContact,
    GoodsClass,
    Serial,
    Goods,
    Outbox,
    Replaced,
    Wait,
    Lane,
    Progress,
    Actor,
    Circ,
    CircGoods,
    File,
    Material,
    RecognitionModel,
    Idempotency,
    Published,
    Login,
    Scan,
    ScanReader,
    ScanAlert,
    Change,
    Feed,
    Webhook,
    CaptureJob,
    CapturedEvent,
    LogEntry,
    LogOrigin,
    LogAnchor,
)
