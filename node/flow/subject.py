"""What the node knows of one person: told for a request of that person, and forgotten."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from node.clock import Clock
from node.domain.model import CircType
from node.domain.records import User
from node.errors import Reason, not_found
from node.flow import log_check
from node.store import log, people, personal, sealed, subject, unsealed
from node.store.db import Store
from node.store.seal import Seal


@dataclass(frozen=True, slots=True)
class Erased:
    """What became of an erasure: whose it was, and how many private forms were forgotten."""

    username: str
    forms: int


def export(store: Store, seal: Seal, username: str, out: TextIO, clock: Clock) -> None:
    """Write all that the index has of a user as one JSON object, a row a line, as it stood at one moment."""
    with store.write():
        log.note_command(clock, "user export", {"user": _called(username).username})
    with store.read():
        user = _called(username)
        known = personal.of(seal, [user.id])[user.id]
        out.write('{"person": ' + _json(asdict(known)))
        for section in subject.SECTIONS:
            out.write(f',\n"{section}": [')
            for number, row in enumerate(subject.rows(section, user.id, sealed.phone_scope(seal, known.phone))):
                if section == "orgs_owned":
                    row["legal_representative"] = asdict(personal.contact(seal, row["id"]))
                out.write(("," if number else "") + "\n  " + _json(dict(_shown(row))))
            out.write("]")
        out.write(',\n"called_from": ' + _json(log_check.addresses_of(seal, user.username)))
        out.write("}\n")


def erase(store: Store, seal: Seal, username: str, clock: Clock) -> Erased:
    """Delete a user and forget who it was, with the forms that it marked private; nothing stays in the index's files.

    No node may run on the data directory: it would still have some of it in memory. Done again it changes nothing.
    What the contract knows of the user stays, and so does what others need to check it: the username, which tells
    nothing.
    """
    with store.write():
        user = _called(username)
        phone = personal.of(seal, [user.id])[user.id].phone
        forms = subject.forget_private_forms(user.id)
        personal.erase(user.id)
        people.revoke_tokens(user.id)
        people.change_user(user.id, deleted=True)
        subject.forget_account(user.id, sealed.phone_scope(seal, phone))
        log.forget_origins_of(user.username)
        log.note_command(clock, "user erase", {"user": user.username})
        unsealed.wipe_later(store)
    unsealed.wipe(store)
    return Erased(user.username, forms)


def _called(username: str) -> User:
    user = people.user_called(username)
    if user is None:
        raise not_found(Reason.USER_NOT_FOUND, "USERNAME", username)
    return user


def _shown(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if name == "circ_type":
            yield name, CircType(value).name.lower()
        elif name in ("private", "deleted", "success"):
            yield name, bool(value)
        elif name == "own":
            yield name, json.loads(value)
        elif isinstance(value, bytes):
            yield name, value.hex() if name in ("salt", "erased_digest") else value.decode("utf-8", "replace")
        else:
            yield name, value


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
