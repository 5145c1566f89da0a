// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IVTrace} from "./IVTrace.sol";

/// @title Custody: who holds which goods, and how many circs they have had
/// @dev Batches are runs of neighbouring goods, so eight goods share a storage word: goods `id` is lane `id % 8` of
/// word `id / 8`, and a lane's 32 bits are 12 bits of `times` above 20 bits of holder. All lanes of a word are
/// compared, summed and stepped at once; only a word that breaks a rule, or that mixes held and unheld goods, is
/// looked at lane by lane. Assembly is for slots and calldata whose bounds are known, which Solidity would check.
// slither-disable-start assembly
abstract contract Custody {
    uint32 internal constant GOODS_ID_MAX = 2 ** 31 - 1;
    uint32 internal constant ACTOR_MAX = 2 ** 20 - 1;
    uint256 private constant TIMES_MAX = 2 ** 12 - 1;
    /// @dev How many circs goods can have had for an exam by another than the holder to be taken.
    uint256 private constant EXAM_TIMES_MAX = 3 * 2 ** 10;

    uint256 private constant LANES = 8;
    uint256 private constant LANE_BITS = 32;
    uint256 private constant HOLDER_BITS = 20;
    uint256 private constant TIMES_BITS = 12;

    /// @dev A 1 at the bottom of each of the eight lanes. A lane's value times this is the value in every lane.
    uint256 private constant EACH = 0x0000000100000001000000010000000100000001000000010000000100000001;
    uint256 private constant EACH_HOLDER = EACH * ACTOR_MAX;
    uint256 private constant EACH_TIMES = EACH * TIMES_MAX;
    /// @dev The bit that a lane's shifted-down `times` reaches only by passing its maximum.
    uint256 private constant EACH_OVERFLOW = EACH << TIMES_BITS;
    /// @dev What a lane's shifted-down `times` passes its maximum by, if and only if it has reached EXAM_TIMES_MAX.
    uint256 private constant EACH_EXAM_REST = EACH * (TIMES_MAX + 1 - EXAM_TIMES_MAX);
    /// @dev What a circ adds to a lane whose holder stays.
    uint256 private constant STEP = 1 << HOLDER_BITS;
    uint256 private constant EACH_STEP = EACH * STEP;
    uint256 private constant ALL = type(uint256).max;

    /// @dev Which goods that the operator doesn't hold a circ can be about: what nobody holds, what another holds. HELD is
    /// the bit of the kind EXAM, which no other kind has, and of the right to examine.
    uint256 private constant UNHELD = 1;
    uint256 private constant HELD = 4;

    /// @dev At slot 0, one for each goods id / 8: a word's slot needs no hash.
    uint256[2 ** 28] private _words;

    /// @dev Zeros for goods that no circ has named, and for numbers that can't be goods.
    function _custodyOf(uint32 goodsId) internal view returns (uint32 holder, uint32 times) {
        if (goodsId > GOODS_ID_MAX) return (0, 0);
        uint256 lane = _words[goodsId / LANES] >> (goodsId % LANES * LANE_BITS);
        return (uint32(lane & ACTOR_MAX), uint32((lane >> HOLDER_BITS) & TIMES_MAX));
    }

    /// @dev UNHELD for a produce, HELD for an exam with the right to examine, else 0.
    function _othersOf(uint256 circType, uint256 rights) internal pure returns (uint256 others) {
        assembly ("memory-safe") {
            others := or(iszero(circType), and(and(circType, rights), HELD))
        }
    }

    /// @dev Rule 7, and the new state of all the goods, whose ranges rule 1 has checked. Returns the sum of their `times`
    /// before. `others` as {_othersOf} has it. It stays a function of its own in the code, which `return` from within
    /// makes the optimizer do: merged into its caller, too much is alive at once and worked out anew for every word.
    function _step(IVTrace.Range[] calldata goods, uint256 operator, uint256 to, uint256 others)
        internal
        returns (uint256 times)
    {
        unchecked {
            // For all lanes at once: the holder to find, and what to add where it is found. The lane's holder becomes
            // `to` and its times one more in one addition: a step is more than any holder, so nothing is borrowed.
            uint256 held = EACH * operator;
            uint256 added = EACH * (STEP + to - operator);
            uint256 range;
            uint256 rangesEnd;
            assembly ("memory-safe") {
                range := goods.offset
                rangesEnd := add(range, mul(goods.length, 0x40))
            }
            while (true) {
                uint256 id;
                uint256 end;
                // As goods[i], whose bounds and types rule 1 has checked.
                assembly ("memory-safe") {
                    id := calldataload(range)
                    end := add(id, calldataload(add(range, 0x20)))
                    range := add(range, 0x40)
                }
                while (true) {
                    // The lanes of this word that the range covers: those from its first on, but not those from its end
                    // on, of which a shift by the whole word or more leaves none. Multiples of a word are meant.
                    // slither-disable-next-line divide-before-multiply
                    uint256 mask = (ALL << (id % LANES * LANE_BITS)) ^ (ALL << ((end - id / LANES * LANES) * LANE_BITS));
                    uint256 word;
                    assembly {
                        word := sload(add(_words.slot, shr(3, id)))
                    }
                    uint256 counts = ((word & mask) >> HOLDER_BITS) & EACH_TIMES;
                    // The product's top lane is the sum of all lanes; it is below 2^15.
                    times += (counts * EACH) >> (7 * LANE_BITS);
                    if (((word ^ held) & mask & EACH_HOLDER) | ((counts + EACH) & EACH_OVERFLOW) != 0) {
                        word = _stepOthers(word, mask, id, held, added, others);
                    } else {
                        word += added & mask;
                    }
                    assembly {
                        sstore(add(_words.slot, shr(3, id)), word)
                    }
                    id = (id / LANES + 1) * LANES;
                    if (id >= end) break;
                }
                if (range == rangesEnd) return times;
            }
        }
    }

    /// @dev Rule 7, and the new state, for lanes `mask` of the word of goods `id`: not all of them are held by the
    /// operator, or one is at its limit.
    function _stepOthers(uint256 word, uint256 mask, uint256 id, uint256 held, uint256 added, uint256 others)
        private
        pure
        returns (uint256)
    {
        unchecked {
            uint256 lanes = word & mask;
            if (others == UNHELD) {
                // Goods that no circ has named are what most circs that produce find; they break nothing.
                if (lanes != 0) _checkLanes(word, mask, id, held, others);
                return word - (lanes & EACH_HOLDER) + ((held + added) & mask);
            }
            uint256 broken = ALL;
            if (others == HELD) {
                uint256 counts = (lanes >> HOLDER_BITS) & EACH_TIMES;
                uint256 foreign = (lanes ^ (held & mask)) & EACH_HOLDER;
                // A holder plus its maximum reaches the bit above it unless it is 0: so nobody's goods are found, and
                // with the holders compared, those that another holds.
                broken = ~((lanes & EACH_HOLDER) + EACH_HOLDER) & EACH_STEP & mask;
                broken |= ((foreign + EACH_HOLDER) >> (HOLDER_BITS - TIMES_BITS)) & (counts + EACH_EXAM_REST)
                    & EACH_OVERFLOW;
                broken |= (counts + EACH) & EACH_OVERFLOW;
            }
            if (broken != 0) _checkLanes(word, mask, id, held, others);
            return word + (added & mask);
        }
    }

    /// @dev Rule 7 for lanes `mask` of the word of goods `id`, one by one. Returns only if none breaks it.
    function _checkLanes(uint256 word, uint256 mask, uint256 id, uint256 held, uint256 others) private pure {
        unchecked {
            uint256 operator = held & ACTOR_MAX;
            for (id -= id % LANES; mask != 0; (++id, mask >>= LANE_BITS, word >>= LANE_BITS)) {
                if (mask & 1 == 0) continue;
                uint256 holder = word & ACTOR_MAX;
                uint256 limit = TIMES_MAX;
                if (holder != operator) {
                    if (others != (holder == 0 ? UNHELD : HELD)) {
                        revert IVTrace.NotHolder(uint32(id), uint32(holder), uint32(operator));
                    }
                    limit = EXAM_TIMES_MAX;
                }
                if ((word >> HOLDER_BITS) & TIMES_MAX >= limit) revert IVTrace.TimesExhausted(uint32(id));
            }
        }
    }
}
// slither-disable-end assembly
