"""Accounts of actors: a user takes the key of its actor into its own hands."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.chain import contract, signer, typed
from node.chain.gas import SET_ACCOUNT_GAS, wallet_gas
from node.domain.form import SALT_BYTES
from node.domain.limits import SIGNATURE_BYTES_MAX
from node.domain.model import Circ, CircType
from node.domain.records import Actor, TxKind, User
from node.errors import Reason, Status, VTraceError, invalid
from node.flow.actors import Actors, stands_on
from node.flow.callers import fresh
from node.flow.goods import Products
from node.flow.ledger import Ledger
from node.flow.record import Recorder
from node.flow.sovereign import signed_by_key
from node.flow.wallets import Wallets
from node.store import accounts, circs
from node.store.db import Store

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Shown:
    """A user's actor, 0 if it has none, and the domain in which its account signs.

    ``typed_data`` is what a new account has to sign, if one was named.
    """

    actor: int
    account: str
    sovereign: bool
    chain_id: int
    contract: str
    typed_data: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """What has to be signed for a circ: the typed data, the salt and the version in it."""

    typed_data: str
    salt: bytes
    version: int


class Accounts:
    """The accounts of the callers' actors. ``submitted`` is told after each commit."""

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        actors: Actors,
        recorder: Recorder,
        products: Products,
        wallets: Wallets,
        submitted: Callable[[], None],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._actors = actors
        self._recorder = recorder
        self._products = products
        self._wallets = wallets
        self._submitted = submitted

    def shown(self, caller: User, new_account: str) -> Shown:
        """The caller's actor; if a new account is named, one is registered where there is none yet."""
        self._catch_up(caller)
        if not new_account:
            found = circs.actor_of(caller.id)
            return self._shown(None if found is None else found[0])
        account = address("new_account", new_account)
        with self._store.write():
            self._ledger.refuse_if_full()
            actor = self._actors.of(fresh(caller)).actor
        self._submitted()
        return self._shown(actor, typed.account_json(self._ledger.chain_id, self._ledger.contract, actor.id, account))

    def give(self, caller: User, new_account: str, possession: bytes) -> tuple[int, str]:
        """Make the caller's actor sovereign, with an account that proves possession; answers actor and trans_id.

        Once more with the same account changes nothing.
        """
        account = address("account", new_account)
        if not 1 <= len(possession) <= SIGNATURE_BYTES_MAX:
            want = f"1 to {SIGNATURE_BYTES_MAX} bytes, 65 of a key"
            raise invalid("possession", f"{len(possession)} bytes", want)
        found = circs.actor_of(caller.id)
        if found is None:
            raise invalid("possession", f"{len(possession)} bytes", "what signs the typed data that GetAccount gives")
        actor = found[0]
        gas = SET_ACCOUNT_GAS
        if not actor.sovereign:
            gas += self._checked(actor.id, account, possession)
        with self._store.write():
            trans_id = self._given(caller, account, possession, gas)
        self._submitted()
        return actor.id, trans_id

    def _given(self, caller: User, account: str, possession: bytes, gas: int) -> str:
        self._ledger.refuse_if_full()
        actor = self._actors.of(fresh(caller)).actor
        if actor.sovereign:
            if actor.account != account:
                raise self._sovereign(actor)
            return accounts.trans_id(actor.id)
        stored = self._ledger.enrol(
            TxKind.SET_ACCOUNT,
            contract.set_account_data(actor.id, account, possession),
            gas,
            lambda: stands_on(actor.id),
        )
        accounts.give(actor.id, account, stored.outbox_id)
        return stored.tx_hash

    def _checked(self, actor_id: int, account: str, possession: bytes) -> int:
        """The gas that the check of the possession needs beside a key's; INVALID_ARGUMENT if it proves nothing."""
        digest = contract.account_digest(self._ledger.chain_id, self._ledger.contract, actor_id, account)
        if signed_by_key(account, digest, possession):
            return 0
        if self._wallets.verdict(account, digest, possession).approves:
            return wallet_gas(len(possession))
        raise invalid(
            "possession",
            f"{len(possession)} bytes",
            f"the signature of account {account} over what GetAccount gives for it (actor {actor_id})",
        )

    def prepare(self, caller: User, circ_type: CircType, goods_ids: Sequence[int], to: str, form: bytes) -> Prepared:
        """What a caller who keeps its own key has to sign for a circ, as the goods are now."""
        self._catch_up(caller)
        salt = secrets.token_bytes(SALT_BYTES)
        with self._store.write():
            circ = self._recorder.plan(caller, circ_type, goods_ids, to, form, salt)
        self._submitted()
        return self._prepared(circ, salt)

    def prepare_goods(self, caller: User, serial_id: int, total: int) -> Prepared:
        """The same for the produce circ of new goods."""
        self._catch_up(caller)
        salt = secrets.token_bytes(SALT_BYTES)
        return self._prepared(self._products.planned_goods(caller, serial_id, total, salt), salt)

    def _prepared(self, circ: Circ, salt: bytes) -> Prepared:
        return Prepared(typed.circ_json(self._ledger.chain_id, self._ledger.contract, circ), salt, circ.version)

    def _catch_up(self, caller: User) -> None:
        """Learn of an account that its owner changed on the chain. If the chain can't be asked, the last one stays."""
        found = circs.actor_of(caller.id)
        if found is None or not found[0].sovereign or not accounts.is_settled(found[0].id):
            return
        actor = found[0]
        try:
            now = self._wallets.account_of(actor.id)
        except VTraceError as fault:
            log.warning("actor %d: %s", actor.id, fault.message)
            return
        if now is not None and now != actor.account:
            with self._store.write():
                accounts.change(actor.id, now)
            log.info("actor %d has account %s now, it had %s", actor.id, now, actor.account)

    def _shown(self, actor: Actor | None, typed_data: str = "") -> Shown:
        where = self._ledger.chain_id, self._ledger.contract
        if actor is None:
            return Shown(0, "", False, *where)
        return Shown(actor.id, actor.account, actor.sovereign, *where, typed_data)

    def _sovereign(self, actor: Actor) -> VTraceError:
        ledger = self._ledger
        return VTraceError(
            Reason.PERMISSION_DENIED,
            f"actor {actor.id} is sovereign: only its account {actor.account} can change it, by sending "
            f"setAccount(uint32 actor,address account,bytes possession) to the contract {ledger.contract} of chain "
            f"{ledger.chain_id}",
            metadata={"actor": actor.id, "account": actor.account, "contract": ledger.contract},
            status=Status.FAILED_PRECONDITION,
        )


def address(field: str, text: str) -> str:
    """An account as a checksummed address; INVALID_ARGUMENT for a text that is none, or a mistyped one."""
    try:
        return signer.address_in(text)
    except ValueError as fault:
        raise invalid(field, text, str(fault)) from None
