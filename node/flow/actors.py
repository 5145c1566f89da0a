"""Users as the contract knows them: an account for each, registered and kept in step with the role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from node.chain import contract, signer
from node.chain.gas import REGISTER_ACTOR_GAS, SET_RIGHTS_GAS
from node.chain.signer import HeldKey, Signatory
from node.domain.form import name_digest
from node.domain.model import ACTOR_MAX, Rights
from node.domain.records import Actor, TxKind, User
from node.domain.roles import rights_of
from node.errors import Reason, VTraceError
from node.flow.ledger import Ledger
from node.store import circs, outbox
from node.store.seal import Seal
from node.store.sealed import actor_key

KEYS_OPEN_MAX = 4_096
"""How many operators' keys are kept decrypted."""


@dataclass(frozen=True, slots=True)
class Operator:
    """An actor together with who signs for it: the node, or nobody here if it is sovereign."""

    actor: Actor
    signatory: Signatory | None


class Actors:
    """Everything here runs inside ``Store.write()``."""

    def __init__(self, ledger: Ledger, seal: Seal) -> None:
        self._ledger = ledger
        self._seal = seal
        self._opened = lru_cache(KEYS_OPEN_MAX)(seal.open)

    def of(self, user: User) -> Operator:
        """The user's actor. At the first need a key is made and its registration put in the outbox."""
        found = circs.actor_of(user.id)
        if found is not None:
            actor, sealed = found
            return self._operator(self._in_step(actor, user), sealed)
        actor_id = circs.next_actor()
        if actor_id > ACTOR_MAX:
            raise VTraceError(Reason.CREATE_CIRC_FAILED, "the contract has no room for another actor")
        key = signer.new_key()
        actor = Actor(actor_id, user.id, signer.address_of(key), _rights(user))
        stored = self._ledger.enrol(
            TxKind.REGISTER_ACTOR,
            contract.register_actor_data(actor.account, actor.rights, name_digest(user.username)),
            REGISTER_ACTOR_GAS,
        )
        circs.add_actor(actor, self._seal.close(actor_key(actor_id), key), stored.outbox_id)
        return Operator(actor, HeldKey(key))

    def known(self, users: Sequence[User]) -> dict[int, Operator]:
        """Those of ``users`` that have an actor with the rights of their role, by the users' ids."""
        roles = {user.id: user for user in users}
        return {
            actor.user_id: self._operator(actor, sealed)
            for actor, sealed in circs.actors_of(list(roles))
            if actor.rights == _rights(roles[actor.user_id])
        }

    def _operator(self, actor: Actor, sealed: bytes) -> Operator:
        return Operator(actor, None if actor.sovereign else HeldKey(self._opened(actor_key(actor.id), sealed)))

    def keep_in_step(self, user: User) -> None:
        """After a change of role: give the user's actor, if there is one, the rights of the new role."""
        found = circs.actor_of(user.id)
        if found is not None:
            self._in_step(found[0], user)

    def _in_step(self, actor: Actor, user: User) -> Actor:
        rights = _rights(user)
        if actor.rights == rights:
            return actor
        data = contract.set_rights_data(actor.id, rights)
        stored = self._ledger.enrol(TxKind.SET_RIGHTS, data, SET_RIGHTS_GAS, lambda: stands_on(actor.id))
        circs.change_rights(actor.id, rights, stored.outbox_id)
        return replace(actor, rights=rights)


def stands_on(actor_id: int) -> list[int]:
    """The transactions that must reach the chain before one that changes an actor: all that are about it."""
    return [*outbox.unfinished_by(actor_id), *circs.stood_on([], [actor_id])]


def _rights(user: User) -> Rights:
    return Rights.NONE if user.deleted else rights_of(user.role)
