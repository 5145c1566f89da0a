"""Which circs' forms were published. Writers run inside ``Store.write()``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from node.domain.form import NO_SALT
from node.store import tables as t

_PAGE_ROWS = 500


def waiting(after: int, limit: int) -> list[tuple[int, bytes]]:
    """The next circs behind the id ``after`` that are to be published: id and block ``salt ‖ form``.

    A private form never is: what is public can't be forgotten.
    """
    done = t.Published.select(t.Published.circ_id)
    query = (
        t.Circ.select(t.Circ.id, t.Circ.salt, t.Circ.form)
        .where(t.Circ.id > after, t.Circ.id.not_in(done), t.Circ.salt != NO_SALT, t.Circ.private.is_null())
        .order_by(t.Circ.id)
        .limit(limit)
    )
    return [(int(circ_id), bytes(salt) + bytes(form)) for circ_id, salt, form in t.tuples(query)]


def forms() -> Iterator[tuple[bytes, bytes, bool]]:
    """Salt and form of every circ that has them, and whether the form is private, the oldest first."""
    query = "SELECT id, salt, form, private FROM circ WHERE id > ? AND salt <> ? ORDER BY id LIMIT ?"
    after = 0
    while page := t.run(query, after, NO_SALT, _PAGE_ROWS).fetchall():
        for _, salt, form, private in page:
            yield bytes(salt), bytes(form), bool(private)
        after = page[-1][0]


def add(blocks: Sequence[tuple[int, str, int]]) -> None:
    """Remember that blocks are kept: circ id, CID and size of each."""
    fields = [t.Published.circ_id, t.Published.cid, t.Published.size]
    t.Published.insert_many(list(blocks), fields=fields).on_conflict_ignore().execute()
