"""Where the contract keeps what it knows of goods: for proofs of its storage."""

from __future__ import annotations

from typing import Final

from node.chain.contract import artifact
from node.chain.gas import GOODS_PER_WORD

LANE_BITS: Final = 32
HOLDER_BITS: Final = 20


def goods_slot(goods_id: int) -> int:
    """The storage slot of the word that holds the goods; the compiler says where the words begin."""
    return int(artifact()["storage"]["_words"]) + goods_id // GOODS_PER_WORD


def goods_in_word(word: int, goods_id: int) -> tuple[int, int]:
    """Holder and times of goods, from the word that holds them."""
    lane = word >> (goods_id % GOODS_PER_WORD * LANE_BITS) & (1 << LANE_BITS) - 1
    return lane & (1 << HOLDER_BITS) - 1, lane >> HOLDER_BITS
