"""A partner's side of the bargain: what a node gives to sign is held against what was asked for, before it is signed.

Nothing that the node gives is signed as it is. The circ is read from its typed data, each value that the partner knows
is compared, and what is signed is made of the values, here. Two are the node's word: the version, of which a wrong one
only makes a circ that the contract refuses, and the number of a transfer's receiver, unless a chain is asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.chain import contract, signer, typed
from node.chain.rpc import Chain
from node.chain.signer import Signatory
from node.domain.form import SALT_BYTES, form_digest, name_digest
from node.domain.model import Circ, CircType, ranges_of


class NotWhatWasAsked(Exception):
    """The node gave something else to sign; the message says what."""


@dataclass(frozen=True, slots=True)
class Place:
    """The chain and contract for which a partner signs."""

    chain_id: int
    contract: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """A circ as a partner wants it. ``to`` is the receiver's username for a transfer, else empty."""

    goods_ids: tuple[int, ...]
    circ_type: CircType
    to: str
    form: bytes
    private: bool = False


def check_place(place: Place, chain_id: int | None, address: str | None) -> None:
    """Hold the node's chain and contract against those that the partner knows, as far as it does."""
    if chain_id is not None and place.chain_id != chain_id:
        raise NotWhatWasAsked(f"the node is on chain {place.chain_id}, want {chain_id}")
    if address is not None and place.contract.lower() != address.lower():
        raise NotWhatWasAsked(f"the node's contract is {place.contract}, want {address}")


def signed_account(by: Signatory, place: Place, actor: int, text: str) -> bytes:
    """The possession of an account, for an actor."""
    if actor < 1 or text != typed.account_json(place.chain_id, place.contract, actor, by.account):
        raise NotWhatWasAsked(f"the node gave something else to sign than account {by.account} for actor {actor}")
    return by.sign(contract.account_message(place.chain_id, place.contract, actor, by.account))


def checked_circ(wanted: Wanted, place: Place, actor: int, text: str, salt: bytes, version: int) -> Circ:
    """The circ in typed data, once it is found to be the wanted one of this actor."""
    try:
        chain_id, address, circ = typed.read_circ(text)
    except ValueError as fault:
        raise NotWhatWasAsked(f"the node gave to sign what is {fault}") from fault
    if (chain_id, address) != (place.chain_id, place.contract):
        raise NotWhatWasAsked(f"it is for contract {address} of chain {chain_id}, want {place.contract}")
    if len(salt) != SALT_BYTES:
        raise NotWhatWasAsked(f"its salt has {len(salt)} bytes, want {SALT_BYTES}")
    is_transfer = wanted.circ_type is CircType.TRANSFER
    for what, given, want in (
        ("kind", circ.circ_type.name.lower(), wanted.circ_type.name.lower()),
        ("goods", circ.goods, ranges_of(wanted.goods_ids)),
        ("operator", circ.operator, actor),
        ("form", circ.form_digest.hex(), form_digest(salt, wanted.form).hex()),
        ("version", circ.version, version),
        ("receiver", circ.to != actor, is_transfer),
    ):
        if given != want:
            raise NotWhatWasAsked(f"the {what} that the node gave to sign is not the one that was asked for: {given}")
    return circ


def check_receiver(chain: Chain, place: Place, actor: int, username: str) -> None:
    """Whether an actor was registered under this username, by the chain."""
    topics = [contract.ACTOR_REGISTERED_TOPIC, actor.to_bytes(32, "big")]
    for entry in chain.logs(place.contract, topics, 0, chain.head().number):
        event = contract.decode_log(entry.topics, entry.data)
        if isinstance(event, contract.ActorRegistered):
            if event.name_digest == name_digest(username):
                return
            raise NotWhatWasAsked(f"the receiver that the node gave, actor {actor}, is not {username} on the chain")
    raise NotWhatWasAsked(f"the receiver, actor {actor}, is not registered on the chain yet: try again in a moment")


def signed_circ(by: Signatory, place: Place, circ: Circ) -> bytes:
    """The signature over a circ."""
    return by.sign(contract.circ_message(place.chain_id, place.contract, circ))


def held_key(text: str) -> Signatory:
    """Who signs with the key in a text of 64 hex digits; ValueError for any other."""
    key = bytes.fromhex(text.strip().removeprefix("0x"))
    signer.address_of(key)
    return signer.HeldKey(key)
