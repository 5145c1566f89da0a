"""Step 6, actors: the chain says who they are by a digest of the username, the old index has users and keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from node.domain.form import name_digest
from node.domain.model import Rights
from node.domain.replay import RegisteredActor, Unexplained
from node.flow.reindex.replaying import Played
from node.flow.reindex.waiting import Waiting
from node.store.accounts import UNKNOWN_TRANSACTION
from node.store.rebuild import OldActor, Rebuild

Say = Callable[[str], None]


def expected(new: Rebuild, played: Played) -> dict[int, tuple[int, Rights]]:
    """The actors of the old index that the chain does not have (yet): by transaction, with their rights."""
    actors = played.replay.actors
    return {old.outbox_id: (old.id, old.rights) for old in new.people.old_actors() if old.id not in actors}


def place(new: Rebuild, played: Played, waiting: Waiting, note: Say, lost: Say) -> None:
    """Write every actor."""
    actors = played.replay.actors
    old = {each.id: each for each in new.people.old_actors()}
    users = _users(new, actors)
    registered = new.transactions.registrations()
    for actor in actors.values():
        outbox_id = registered.pop(played.registered_in[actor.id], None)
        if outbox_id is None:
            raise Unexplained(f"{played.registered_in[actor.id]} registered several actors: no index can hold that")
        user_id = users.get(actor.id)
        if user_id is None:
            lost(f"actor {actor.id}: its user is not known, only the digest of the username; nobody can log in as it")
            user_id = new.people.add_lost_user(f"lost-{actor.name_digest.hex()[:16]}")
        rights, last = waiting.rights_to_be.get(actor.id, (actor.rights, None))
        known = old.get(actor.id)
        key = known.key_sealed if known is not None else b""
        if known is not None and known.account != actor.account and known.sovereign_by is None:
            note(f"actor {actor.id}: the old index had the account {known.account}, not the chain's; its key is kept")
        if not key and not actor.sovereign:
            lost(f"actor {actor.id}: ITS KEY IS LOST, so nothing can be recorded in its user's name any more")
        made = OldActor(actor.id, user_id, actor.account, key, rights, outbox_id, last)
        if actor.sovereign:
            made = replace(made, sovereign_by=UNKNOWN_TRANSACTION)
        elif actor.id in waiting.accounts_to_be:
            account, by = waiting.accounts_to_be[actor.id]
            made = replace(made, account=account, last_outbox=by, sovereign_by=by, account_before=actor.account)
        new.people.add(made)
    for one in old.values():
        if one.id in actors:
            continue
        if one.outbox_id in waiting.sent_again:
            rights, last = waiting.rights_to_be.get(one.id, (one.rights, None))
            new.people.add(replace(one, rights=rights, last_outbox=last))
        else:
            lost(f"actor {one.id} of the old index was never registered on the chain and is left out")


def _users(new: Rebuild, actors: dict[int, RegisteredActor]) -> dict[int, int]:
    """The users of actors, by the digests of their names."""
    called = {actor.name_digest: actor.id for actor in actors.values()}
    found: dict[int, int] = {}
    for user_id, username in new.people.users():
        actor_id = called.get(name_digest(username))
        if actor_id is not None:
            found[actor_id] = user_id
    return found
