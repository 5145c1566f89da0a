"""What a proof proves, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from node.domain.model import Circ

Place = tuple[int, int, int]
"""Block number, index of the transaction in the block, of the log in its receipt: as the chain orders them."""


@dataclass(frozen=True, slots=True)
class ProvenBlock:
    """A block that the file proves from. ``follows`` says that the next block of the file is its child."""

    number: int
    hash: str
    timestamp: int
    follows: bool


@dataclass(frozen=True, slots=True)
class ProvenCirc:
    """A circ of the goods. ``signer`` is the operator's account if its own key signed, None if the contract vouches."""

    times: int
    circ: Circ
    operator: str
    to: str
    form: bytes
    tx_hash: str
    block: int
    timestamp: int
    signer: str | None


@dataclass(frozen=True, slots=True)
class Proven:
    """What a file proves, as far as its blocks are the chain's. ``contract`` is an address in lower case.

    ``complete`` says that the contract's state is proven: its code, and that there are no other circs.
    """

    chain_id: int
    contract: str
    goods_id: int
    circs: tuple[ProvenCirc, ...]
    holder: int
    holder_name: str
    blocks: tuple[ProvenBlock, ...]
    complete: bool
