"""All that the index has of one user, table by table, and forgetting it. Writers run inside ``Store.write()``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from node.domain.form import NO_SALT, form_digest
from node.store import tables as t

_ROWS = 500

_CIRC = """
    SELECT c.id, c.circ_type, c.status, c.reason, c.created_at, c.salt, c.form, c.private, c.erased_digest,
        x.tx_hash AS trans_id, x.mined_hash AS tx_hash, "by".username AS operator, receiver.username AS "to"
    FROM circ c JOIN outbox x ON x.id = c.outbox_id
    JOIN actor a ON a.id = c.operator_id JOIN "user" "by" ON "by".id = a.user_id
    JOIN actor b ON b.id = c.to_id JOIN "user" receiver ON receiver.id = b.user_id
"""
SECTIONS: Mapping[str, str] = {
    "account": """
        SELECT id, username, nickname, avatar, role, role_before, org_id, deleted, created_at, token_epoch
        FROM "user" WHERE id = ?""",
    "actor": """
        SELECT a.id, account, account_before, rights, tx_hash AS registered_by FROM actor a
        JOIN outbox x ON x.id = registered_by_id WHERE user_id = ?""",
    "orgs_owned": "SELECT id, name, code, info, created_at FROM org WHERE owner_id = ?",
    "classes_made": "SELECT id, name, created_at FROM goods_class WHERE creator_id = ? ORDER BY id",
    "serials_made": """
        SELECT id, goods_class_id, product_time, created_at FROM serial WHERE creator_id = ? ORDER BY id""",
    "goods_made": "SELECT id, serial_id FROM goods WHERE creator_id = ? ORDER BY id",
    "files_uploaded": """
        SELECT cid, size, declared, filename, own, created_at FROM file WHERE uploader_id = ? ORDER BY id""",
    "answers_kept": """
        SELECT rpc, key, created_at FROM idempotency WHERE scope IN (?, ?) ORDER BY id""",
    "captures": """
        SELECT capture_id, created_at, finished_at, success, outcome FROM capture_job WHERE user_id = ?
        ORDER BY id""",
    "circs_operated": f"{_CIRC} WHERE a.user_id = ? ORDER BY c.id",
    "circs_received": f"{_CIRC} WHERE b.user_id = ? AND a.user_id != ? ORDER BY c.id",
}
"""What an export has, and from where: of a user, or of the two scopes of its answers. Times are microseconds since
1970. Passwords and keys are secrets, not data."""


def rows(section: str, user_id: int, scope: str) -> Iterator[dict[str, Any]]:
    """The rows of one section, by column; ``scope`` is that of the user's phone."""
    query = SECTIONS[section]
    values = (f"user {user_id}", scope) if section == "answers_kept" else (user_id,) * query.count("?")
    found = t.run(query, *values)
    names = [column[0] for column in found.description]
    while page := [dict(zip(names, row, strict=True)) for row in found.fetchmany(_ROWS)]:
        if section.startswith("circs_"):
            goods = _goods_of([row["id"] for row in page])
            for row in page:
                row["goods_ids"] = goods[row["id"]]
        yield from page


def _goods_of(circ_ids: Collection[int]) -> dict[int, list[int]]:
    """The goods of circs, ascending."""
    found: dict[int, list[int]] = {circ_id: [] for circ_id in circ_ids}
    for some in t.cut(circ_ids):
        query = f"SELECT circ_id, goods_id FROM circ_goods WHERE circ_id IN {t.places(len(some))} ORDER BY goods_id"
        for circ_id, goods_id in t.run(query, *some):
            found[circ_id].append(goods_id)
    return found


def forget_private_forms(user_id: int) -> int:
    """Forget salt and form of every private circ that the user made; answers how many."""
    query = (
        "SELECT c.id, salt, form FROM circ c JOIN actor a ON a.id = c.operator_id "
        "WHERE a.user_id = ? AND private AND erased_digest IS NULL AND salt != ? LIMIT ?"
    )
    change = "UPDATE circ SET salt = ?, form = ?, erased_digest = ? WHERE id = ?"
    total = 0
    while found := t.run(query, user_id, NO_SALT, _ROWS).fetchall():
        t.run_many(change, [(NO_SALT, b"", form_digest(bytes(salt), bytes(form)), id_) for id_, salt, form in found])
        total += len(found)
    return total


def forget_account(user_id: int, scope: str) -> None:
    """Forget what a deleted user said of itself; the username stays, since the chain knows its digest."""
    t.run("UPDATE \"user\" SET nickname = '', avatar = '', password_hash = '' WHERE id = ?", user_id)
    t.run("DELETE FROM idempotency WHERE scope IN (?, ?)", f"user {user_id}", scope)
    for table in ("capture_job", "captured_event"):  # the latter has hashes of events, without a salt
        t.run(f"DELETE FROM {table} WHERE user_id = ?", user_id)


def actors_with_rights_of_the_deleted() -> list[int]:
    """The users who were deleted beside a node that did not run, and whose actors still have rights."""
    rows = t.run('SELECT user_id FROM actor a JOIN "user" u ON u.id = a.user_id WHERE deleted AND rights != 0')
    return [int(user_id) for (user_id,) in rows]
