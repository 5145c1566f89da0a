"""The records of the index as the rest of the house sees them: plain, frozen values.

Times are microseconds since 1970 (UTC); ids are those of the index, an actor's id that of the contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from node.domain.model import CircStatus, CircType, Rights
from node.domain.roles import Role


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a login. What tells who it is stands in Personal."""

    id: int
    username: str
    nickname: str
    avatar: str
    role: Role
    password_hash: str
    token_epoch: int
    deleted: bool
    org_id: int | None
    role_before: Role | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Personal:
    """What tells who a user is; empty where it is not known. Kept sealed, so it never stands in a traceback."""

    phone: str = field(repr=False)
    email: str = field(repr=False)
    realname: str = field(repr=False)
    resident_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Contact:
    """The legal representative of an org; empty where it is not known. Kept sealed."""

    name: str = field(repr=False)
    phone: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Org:
    """An organisation whose members produce goods; ``code`` is its social credit code (GB 32100)."""

    id: int
    name: str
    code: str
    info: bytes
    owner: str


@dataclass(frozen=True, slots=True)
class GoodsClass:
    """A kind of product of an org."""

    id: int
    name: str
    description: bytes
    trademark: str
    material_id: int
    state: str
    creator: str
    org_id: int


@dataclass(frozen=True, slots=True)
class Serial:
    """A production batch of a class."""

    id: int
    goods_class: GoodsClass
    product_time: int
    state: str
    creator: str


@dataclass(frozen=True, slots=True)
class Goods:
    """One traceable item."""

    id: int
    serial: Serial
    state: str
    creator: str


@dataclass(frozen=True, slots=True)
class Actor:
    """A user as the contract knows it, once every transaction that was recorded has been mined.

    The account of a ``sovereign`` actor is its owner's own: the node has no key for it.
    """

    id: int
    user_id: int
    account: str
    rights: Rights
    sovereign: bool = False


class CircRecord(NamedTuple):
    """One circ of one goods, as it is answered. A failed circ has no ``times``, and the ``reason`` why.

    ``recorded_at`` is when the node took it, before any block held it. A ``private`` form is never published; once it
    is ``erased``, salt and form are empty.
    """

    id: int
    goods_id: int
    circ_type: CircType
    operator: str
    to: str
    form: bytes
    salt: bytes
    trans_id: str
    tx_hash: str | None
    times: int | None
    status: CircStatus
    recorded_at: int
    reason: str = ""
    private: bool = False
    erased: bool = False


class TxKind(StrEnum):
    """What a transaction of the node's signer does."""

    DEPLOY = "deploy"
    REGISTER_ACTOR = "register_actor"
    SET_RIGHTS = "set_rights"
    SET_ACCOUNT = "set_account"
    CIRC = "circ"
    ANCHOR = "anchor"


class TxState(StrEnum):
    """How far a transaction is on its way: signed → sent → mined → final or reverted.

    A fork leads back to signed, and so does signing again with higher fees; what it was before is then replaced.
    """

    SIGNED = "signed"
    SENT = "sent"
    MINED = "mined"
    FINAL = "final"
    REVERTED = "reverted"


UNMINED = (TxState.SIGNED, TxState.SENT)
UNFINISHED = (*UNMINED, TxState.MINED)


@dataclass(frozen=True, slots=True)
class OutboxTx:
    """A signed transaction of the outbox. Hashes are ``0x`` + 64 hex digits.

    ``tx_hash`` is the one that it was first known by, ``live_hash`` that of ``raw``: they differ once it was signed
    again, at ``signed_at``.
    """

    id: int
    signer: str
    nonce: int
    kind: TxKind
    raw: bytes
    tx_hash: str
    live_hash: str
    signed_at: int
    state: TxState
    block_number: int | None
    block_hash: str | None


@dataclass(frozen=True, slots=True)
class MinedTx:
    """A transaction of the outbox and the block that holds it.

    ``mined_hash`` is the transaction that did its work: itself, as it was first or when it was signed again, or
    somebody else's that carried the same circ.
    """

    id: int
    state: TxState
    block_number: int
    block_hash: str
    mined_hash: str


@dataclass(frozen=True, slots=True)
class LaneState:
    """A signer and what was last seen of it; ``balance`` is in wei, ``trouble`` empty while there is none."""

    signer: str
    is_open: bool
    next_nonce: int | None
    nonce_on_chain: int | None
    balance: int | None
    trouble: str
