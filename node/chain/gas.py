"""The gas that the contract's transactions ask for, and goods cut into as many transactions as that takes.

A limit is what the formula says, never a node's estimate. Storage, calldata, logs and memory cost what Ethereum says;
the shares of the contract's own code are rounded up from measurements, and tests hold them to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.domain.model import CircType, Range

GAS_MAX: Final = 16_777_216
"""The most gas a transaction may ask for (EIP-7825)."""
TRANSACTION_BYTES_MAX: Final = 128 * 1024
"""The most bytes that transaction pools take, Geth's and the embedded chain's."""
DEPLOY_GAS: Final = 2_200_000
REGISTER_ACTOR_GAS: Final = 115_000
ANCHOR_GAS: Final = 25_000
"""A plain transaction with 53 bytes of data, at the floor of EIP-7623: 23,120 at most."""
SET_RIGHTS_GAS: Final = 45_000
SET_ACCOUNT_GAS: Final = 55_000
WALLET_GAS: Final = 400_000
"""The most that the check of a contract account (EIP-1271) may use; a key a signer, that is enough for dozens."""

_TRANSACTION_GAS: Final = 21_000
_ZERO_BYTE_GAS: Final = 4
_BYTE_GAS: Final = 16
_FLOOR_TOKEN_GAS: Final = 10
_FRESH_WORD_GAS: Final = 22_100
_USED_WORD_GAS: Final = 5_000
_WARM_WORD_GAS: Final = 200
_LOOK_UP_GAS: Final = 2_100
_WALLET_CALL_GAS: Final = 20_000
"""To ask an account, and the 64th part that EIP-150 keeps back."""

_CIRC_GAS: Final = 10_150
"""Signature, operator, log and all else that every circ does once."""
_WORD_GAS: Final = {CircType.PRODUCE: 400, CircType.PROCESS: 285, CircType.TRANSFER: 285, CircType.EXAM: 530}
"""The arithmetic on one storage word. An exam's is that of goods that another holds."""
_RANGE_GAS: Final = 840
"""Check, hash and log of one range."""

_HEAD_BYTES: Final = 4 + 32 * 9 + 96
_HEAD_NONZERO_BYTES: Final = 4 + 2 + 1 + 3 + 3 + 32 + 4 + 4 + 3 + 1 + 65
"""Of selector, offset, kind, operator, to, digest, version, offset, number, length and signature, at most."""

GOODS_PER_WORD: Final = 8
"""How many neighbouring goods share a storage word of the contract: those with the same ``goods_id // 8``."""


def circulate_gas(circ_type: CircType, ranges: Sequence[Range]) -> int:
    """The gas limit of a circ: never below what it uses while its operator's account is a key.

    For a contract account (EIP-1271) ``wallet_gas`` comes on top.
    """
    load, last_word = _Load(circ_type), -1
    for span in ranges:
        load, last_word = load.with_range(span, last_word), (span.end - 1) // GOODS_PER_WORD
    return load.gas


def wallet_gas(signature_bytes: int) -> int:
    """What a contract account's check adds to a limit at most, with the calldata of its signature."""
    return WALLET_GAS + _WALLET_CALL_GAS + signature_bytes * _BYTE_GAS


def wallet_call_gas(data: bytes) -> int:
    """The limit of a call that asks a contract account, so that its check has WALLET_GAS and no more."""
    zero_bytes = data.count(0)
    return _TRANSACTION_GAS + zero_bytes * _ZERO_BYTE_GAS + (len(data) - zero_bytes) * _BYTE_GAS + WALLET_GAS


@dataclass(frozen=True, slots=True)
class _Load:
    """What of a circ's gas depends on its ranges."""

    circ_type: CircType
    ranges: int = 0
    nonzero_bytes: int = 0
    goods_gas: int = 0

    def with_range(self, span: Range, last_word: int) -> _Load:
        """The load with one range more; ``last_word`` is the highest word that the load has touched, -1 for none."""
        first_word = span.first // GOODS_PER_WORD
        words = (span.end - 1) // GOODS_PER_WORD - first_word + 1
        shared = first_word == last_word
        # A produce looks goods by goods only at a word that was used, which costs it far less than a fresh one.
        cold_gas = _FRESH_WORD_GAS if self.circ_type is CircType.PRODUCE else _USED_WORD_GAS
        gas = _RANGE_GAS + words * _WORD_GAS[self.circ_type] + (words - shared) * cold_gas
        if shared:
            gas += _WARM_WORD_GAS
        nonzero_bytes = _nonzero_bytes(span.first) + _nonzero_bytes(span.count)
        return _Load(self.circ_type, self.ranges + 1, self.nonzero_bytes + nonzero_bytes, self.goods_gas + gas)

    @property
    def gas(self) -> int:
        nonzero_bytes = _HEAD_NONZERO_BYTES + self.nonzero_bytes
        zero_bytes = _HEAD_BYTES + 64 * self.ranges - nonzero_bytes
        memory_words = 16 + 2 * self.ranges
        used = (
            _TRANSACTION_GAS
            + zero_bytes * _ZERO_BYTE_GAS
            + nonzero_bytes * _BYTE_GAS
            + _CIRC_GAS
            + (_LOOK_UP_GAS if self.circ_type in (CircType.PRODUCE, CircType.TRANSFER) else 0)
            + memory_words**2 // 512
            + self.goods_gas
        )
        # EIP-7623; it never binds while a range costs more than its calldata, but a limit below it is refused.
        floor = _TRANSACTION_GAS + (zero_bytes + 4 * nonzero_bytes) * _FLOOR_TOKEN_GAS
        return max(used, floor)


_ENVELOPE_BYTES: Final = 1024
"""Of a transaction beside its calldata, at most: nonce, fees, address, signature and RLP's own."""
RANGES_MAX: Final = (TRANSACTION_BYTES_MAX - _ENVELOPE_BYTES - _HEAD_BYTES) // 64


def _nonzero_bytes(value: int) -> int:
    return 4 - value.to_bytes(4, "big").count(0)


def cut(circ_type: CircType, ranges: Sequence[Range], gas_max: int) -> list[tuple[Range, ...]]:
    """Cut goods into as few consecutive groups as fit ``gas_max`` each, inside ranges where words end.

    A group has RANGES_MAX ranges at most, so that pools take its transaction. ValueError if not even one goods fits.
    """
    if ranges and len(ranges) <= RANGES_MAX and circulate_gas(circ_type, ranges) <= gas_max:
        return [tuple(ranges)]
    groups: list[tuple[Range, ...]] = []
    group: list[Range] = []
    load, last_word = _Load(circ_type), -1
    waiting = list(reversed(ranges))
    while waiting:
        span = waiting.pop()
        count = _most_that_fit(load, span, last_word, gas_max)
        if count:
            taken = Range(span.first, count)
            group.append(taken)
            load, last_word = load.with_range(taken, last_word), (taken.end - 1) // GOODS_PER_WORD
        if count < span.count:
            if not group:
                raise ValueError(f"goods {span.first} doesn't fit into {gas_max} gas")
            groups.append(tuple(group))
            group, load, last_word = [], _Load(circ_type), -1
            waiting.append(Range(span.first + count, span.count - count))
    if group:
        groups.append(tuple(group))
    return groups


def _most_that_fit(load: _Load, span: Range, last_word: int, gas_max: int) -> int:
    """How many goods of ``span``, from its first, the load can take; a part ends where a word does."""

    if load.ranges >= RANGES_MAX:
        return 0

    def fits(count: int) -> bool:
        return load.with_range(Range(span.first, count), last_word).gas <= gas_max

    if fits(span.count):
        return span.count
    # Goods of one word cost the same as all of it, so the largest part that fits ends with a word (but for a count
    # with one more byte). Words are whole numbers from the first, which may be there in part.
    in_first = GOODS_PER_WORD - span.first % GOODS_PER_WORD
    low, high = 0, (span.count - in_first) // GOODS_PER_WORD + 2
    while high - low > 1:
        middle = (low + high) // 2
        if fits(min(span.count, in_first + (middle - 1) * GOODS_PER_WORD)):
            low = middle
        else:
            high = middle
    return in_first + (low - 1) * GOODS_PER_WORD if low else 0
