"""What the chain says, made plain: events, actors, and what there is of one transaction. No I/O."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from node.chain import contract, signer
from node.chain.rpc import Log, Receipt, Transaction
from node.domain.model import Circ, Range, Rights

ACTOR_TOPICS = (contract.ACTOR_REGISTERED_TOPIC, contract.ACCOUNT_CHANGED_TOPIC, contract.RIGHTS_CHANGED_TOPIC)
ALL_TOPICS = (contract.CIRCULATED_TOPIC, *ACTOR_TOPICS)


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where on the chain something happened. Places compare as the chain orders them."""

    block: int
    tx_index: int
    log_index: int


@dataclass(frozen=True, slots=True)
class Event:
    """A circ that the contract took."""

    tx_hash: str
    place: Place
    circ: Circ


@dataclass(frozen=True, slots=True)
class Actor:
    """An actor as the contract had it at one place: who spoke for it, and what it might do.

    A sovereign actor holds its own key; that of any other is the node's.
    """

    account: str
    rights: Rights
    sovereign: bool = False


class Actors:
    """Every actor's life, from the contract's events, which are given in the chain's order."""

    def __init__(self) -> None:
        self._lives: dict[int, list[tuple[Place, Actor]]] = {}
        self._names: dict[int, bytes] = {}
        self._by_name: dict[bytes, list[int]] = {}

    def learn(self, place: Place, event: contract.Event) -> None:
        """Add an event; those of circs say nothing of actors. ValueError for an actor that was never registered."""
        match event:
            case contract.ActorRegistered(actor, account, rights, name_digest):
                self._lives[actor] = [(place, Actor(account, rights))]
                self._names[actor] = name_digest
                self._by_name.setdefault(name_digest, []).append(actor)
            case contract.AccountChanged(actor, account, sovereign):
                self._go_on(actor, place, Actor(account, self._last(actor).rights, sovereign))
            case contract.RightsChanged(actor, rights):
                last = self._last(actor)
                self._go_on(actor, place, Actor(last.account, rights, last.sovereign))

    def _last(self, actor: int) -> Actor:
        life = self._lives.get(actor)
        if not life:
            raise ValueError(f"actor {actor} is changed, but its registration is not among the logs")
        return life[-1][1]

    def _go_on(self, actor: int, place: Place, now: Actor) -> None:
        self._lives[actor].append((place, now))

    def at(self, actor: int, place: Place) -> Actor | None:
        """The actor as it was just before ``place``; None if it wasn't registered yet."""
        life = self._lives.get(actor, [])
        before = bisect_right(life, place, key=lambda moment: moment[0])
        return life[before - 1][1] if before else None

    def now(self, actor: int) -> Actor | None:
        """The actor after the last event that was learnt; None if it isn't registered."""
        life = self._lives.get(actor)
        return life[-1][1] if life else None

    def name_digest(self, actor: int) -> bytes | None:
        """The digest of the username under which the actor was registered."""
        return self._names.get(actor)

    def called(self, name_digest: bytes) -> tuple[int, ...]:
        """The actors that were registered under a username: honestly one at most."""
        return tuple(self._by_name.get(name_digest, ()))

    def accounts(self, actor: int) -> frozenset[str]:
        """Every account that the actor has had."""
        return frozenset(moment.account for _, moment in self._lives.get(actor, ()))


class Fault(StrEnum):
    """Why a mined transaction carries no circ."""

    REVERTED = "was reverted"
    FORKED_OFF = "is in a block that the chain has dropped"
    ELSEWHERE = "went to another address than the contract"
    NO_EVENT = "made the contract take no circ"
    OTHER_CALL = "asked for another circ than the contract's event says"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the chain has of one transaction.

    ``block`` is None while no block holds it. ``call`` is the circ that it asks of the contract, and ``signed_by``
    the account whose key signed that circ, None if no key did. A transaction that goes to another contract, which
    then calls this one, has no ``call``: what it asks can't be read, but what came of it can. ``events`` are the
    circs that the contract took in it; they are there if there is no ``fault`` and the audited block has it.
    """

    tx_hash: str
    block: int | None
    fault: Fault | None = None
    call: Circ | None = None
    events: tuple[Event, ...] = ()
    signed_by: str | None = None
    sender: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A circ that the contract refused although its operator's own key had signed it.

    ``custodial`` says that the key was the node's when the block was made.
    """

    tx_hash: str
    block: int
    sender: str
    call: Circ
    custodial: bool


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the chain says of one goods at the block ``head``.

    ``evidence`` has every transaction that the node names and the chain knows. ``events`` are all circs of the
    goods up to ``head``; None where the contract's logs weren't read. ``attempts`` are the refused circs of the goods,
    empty where the chain's blocks weren't read. ``contract_accounts`` are those accounts that have code.

    ``block_times`` has the time of each block that holds what ``evidence`` and ``events`` name, ``began`` is that of
    the block from which the contract's logs are read, both in seconds since 1970. ``now`` is the auditor's own clock
    after the node had answered, in microseconds.
    """

    head: int
    holder: int
    times: int
    actors: Actors
    evidence: dict[str, Evidence] = field(default_factory=dict)
    events: Sequence[Event] | None = None
    contract_accounts: frozenset[str] = frozenset()
    attempts: Sequence[Attempt] = ()
    block_times: Mapping[int, int] = field(kw_only=True)
    began: int = field(kw_only=True)
    now: int = field(kw_only=True)


def place_of(log: Log) -> Place:
    """Where a log was emitted."""
    return Place(log.block_number, log.tx_index, log.log_index)


def names_goods(circ: Circ, goods_id: int) -> bool:
    """Whether a circ, whose ranges ascend, is about the goods."""
    before = bisect_right(circ.goods, Range(goods_id, 2**32))
    return before > 0 and goods_id in circ.goods[before - 1]


def promise(transaction: Transaction | None, block: int | None, tx_hash: str, chain_id: int, address: str) -> Evidence:
    """The evidence of a transaction of which nothing has come yet: not mined, or not up to the audited block."""
    call, signed_by = asked(transaction, chain_id, address)
    fault = None if transaction is None or _goes_to(transaction, address) else Fault.ELSEWHERE
    return Evidence(tx_hash, block, fault, call, (), signed_by, "" if transaction is None else transaction.sender)


def weigh(
    transaction: Transaction | None, receipt: Receipt, canonical_hash: str | None, chain_id: int, address: str
) -> Evidence:
    """The evidence of a mined transaction.

    ``canonical_hash`` is that of the chain's block at the receipt's height, ``address`` the contract's.
    Anybody may send a circ, and through another contract too. So it is the contract's log that counts; the calldata
    is held against it where it can be read, in a direct call.
    """
    events = _events(receipt, address) if receipt.status and transaction is not None else ()
    if canonical_hash != receipt.block_hash:
        fault, events = Fault.FORKED_OFF, ()
    elif not receipt.status and transaction is not None and _goes_to(transaction, address):
        fault = Fault.REVERTED
    else:
        fault = None
    return _weighed(transaction, receipt.tx_hash, receipt.block_number, events, fault, chain_id, address)


def weigh_logged(transaction: Transaction | None, events: Sequence[Event], chain_id: int, address: str) -> Evidence:
    """The evidence of a mined transaction whose ``events``, one at least, are known from the contract's logs.

    An endpoint that has forgotten the transaction itself takes nothing from what the logs prove.
    """
    first = events[0]
    if transaction is None:
        return Evidence(first.tx_hash, first.place.block, events=tuple(events))
    return _weighed(transaction, first.tx_hash, first.place.block, tuple(events), None, chain_id, address)


def _weighed(
    transaction: Transaction | None,
    tx_hash: str,
    block: int,
    events: tuple[Event, ...],
    fault: Fault | None,
    chain_id: int,
    address: str,
) -> Evidence:
    call, signed_by = asked(transaction, chain_id, address)
    if fault is None and (transaction is None or not _goes_to(transaction, address)):
        fault = None if events else Fault.ELSEWHERE
    elif fault is None and (call is None or not events):
        fault = Fault.NO_EVENT
    elif fault is None and call not in [event.circ for event in events]:
        fault = Fault.OTHER_CALL
    sender = "" if transaction is None else transaction.sender
    return Evidence(tx_hash, block, fault, call, events, signed_by, sender)


def _goes_to(transaction: Transaction, address: str) -> bool:
    return transaction.to is not None and transaction.to.lower() == address.lower()


def asked(transaction: Transaction | None, chain_id: int, address: str) -> tuple[Circ | None, str | None]:
    """The circ that a direct call asks the contract to take, and whose key signed it."""
    if transaction is None or not _goes_to(transaction, address):
        return None, None
    try:
        call, signature = contract.decode_circulate(transaction.input)
    except ValueError:
        return None, None
    try:
        return call, signer.recover(contract.circ_digest(chain_id, address, call), signature)
    except ValueError:
        return call, None


def _events(receipt: Receipt, address: str) -> tuple[Event, ...]:
    """The circs that the contract took. Others can emit what looks the same: their logs don't count."""
    found = []
    for log in receipt.logs:
        if log.address.lower() != address.lower() or log.topics[:1] != (contract.CIRCULATED_TOPIC,):
            continue
        event = contract.decode_log(log.topics, log.data)
        if isinstance(event, contract.Circulated):
            found.append(Event(receipt.tx_hash, place_of(log), event.circ))
    return tuple(found)
