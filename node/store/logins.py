"""Logins in the index: how often they failed, and from where users came in. Writers run inside ``Store.write()``.

Accounts and networks stand as keyed digests: a phone that somebody tried is nobody's business, registered or not.
The network of all from where the account was never logged in is NOWHERE.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.store import tables as t

NOWHERE = b""


@dataclass(frozen=True, slots=True)
class Attempts:
    """Failed logins in a row, and when the last attempt was (microseconds since 1970)."""

    failures: int
    last_at: int


def find(account: bytes, network: bytes) -> Attempts | None:
    """What is known of an account's logins from a network."""
    row = t.run("SELECT failures, last_at FROM login WHERE account = ? AND network = ?", account, network).fetchone()
    return None if row is None else Attempts(*row)


def put(account: bytes, network: bytes, attempts: Attempts) -> int:
    """Set it; answers the number of the row."""
    sql = (
        "INSERT INTO login (account, network, failures, last_at) VALUES (?, ?, ?, ?) ON CONFLICT (account, network)"
        " DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at RETURNING id"
    )
    # All rows are fetched, since a statement that is not at its end keeps the transaction open.
    ((number,),) = t.run(sql, account, network, attempts.failures, attempts.last_at).fetchall()
    return int(number)


def forget(account: bytes, network: bytes) -> None:
    """Nothing is known any more."""
    t.run("DELETE FROM login WHERE account = ? AND network = ?", account, network)


def keep_newest(account: bytes, networks_max: int) -> None:
    """Of the networks that an account came in from, keep those of the last logins."""
    sql = (
        "DELETE FROM login WHERE account = ? AND network <> ? AND id NOT IN ("
        "SELECT id FROM login WHERE account = ? AND network <> ? ORDER BY last_at DESC, id DESC LIMIT ?)"
    )
    t.run(sql, account, NOWHERE, account, NOWHERE, networks_max)


def sweep(failed_before: int, known_before: int, rows_max: int, most: int) -> None:
    """Drop ``most`` rows whose time has passed, then what exceeds ``rows_max`` failed accounts, the oldest first."""
    old = "SELECT id FROM login WHERE (network = ? AND last_at < ?) OR (network <> ? AND last_at < ?) LIMIT ?"
    t.run(f"DELETE FROM login WHERE id IN ({old})", NOWHERE, failed_before, NOWHERE, known_before, most)
    ((total,),) = t.run("SELECT count(*) FROM login WHERE network = ?", NOWHERE).fetchall()
    if total > rows_max:
        oldest = "SELECT id FROM login WHERE network = ? ORDER BY last_at LIMIT ?"
        t.run(f"DELETE FROM login WHERE id IN ({oldest})", NOWHERE, total - rows_max)
