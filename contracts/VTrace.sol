// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {IVTrace} from "./IVTrace.sol";

/// @title VTrace
/// @notice See {IVTrace}, which states the rules.
/// @dev Batches are runs of neighbouring goods, so eight goods share a storage word: goods `id` is lane `id % 8` of
/// word `id / 8`, and a lane's 32 bits are 12 bits of `times` above 20 bits of holder. All lanes of a word are
/// compared, summed and stepped at once; only a word that breaks a rule, or that mixes held and unheld goods, is
/// looked at lane by lane.
contract VTrace is IVTrace, AccessControl, EIP712 {
    struct Actor {
        address account;
        uint8 rights;
        bool sovereign;
    }

    /// @notice Who may register actors, set their rights and change custodial accounts.
    bytes32 public constant REGISTRAR_ROLE = keccak256("REGISTRAR_ROLE");

    string private constant NAME = "VTrace";
    string private constant VERSION = "1";

    bytes32 private constant RANGE_TYPEHASH = keccak256("Range(uint32 first,uint32 count)");
    bytes32 private constant CIRC_TYPEHASH = keccak256(
        "Circ(Range[] goods,uint8 circType,uint32 operator,uint32 to,bytes32 formDigest,uint256 version)"
        "Range(uint32 first,uint32 count)"
    );
    bytes32 private constant ACCOUNT_TYPEHASH = keccak256("Account(uint32 actor,address account)");

    uint8 private constant PRODUCE = 0;
    uint8 private constant PROCESS = 1;
    uint8 private constant TRANSFER = 3;
    uint8 private constant EXAM = 4;

    uint8 private constant RIGHT_CIRCULATE = 1;
    uint8 private constant RIGHT_PRODUCE = 2;
    uint8 private constant RIGHT_EXAMINE = 4;
    uint8 private constant RIGHTS_ALL = RIGHT_CIRCULATE | RIGHT_PRODUCE | RIGHT_EXAMINE;

    uint32 private constant GOODS_ID_MAX = 2 ** 31 - 1;
    uint32 private constant ACTOR_MAX = 2 ** 20 - 1;
    uint256 private constant TIMES_MAX = 2 ** 12 - 1;
    /// @dev How many circs goods can have had for an exam by another than the holder to be taken.
    uint256 private constant EXAM_TIMES_MAX = 3 * 2 ** 10;

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
    uint256 private constant EACH_STEP = EACH << HOLDER_BITS;

    uint32 private _actors;
    mapping(uint32 actor => Actor) private _actorOf;
    mapping(bytes32 nameDigest => uint32 actor) private _actorNamed;
    /// @dev Last, because it fills 2^28 slots in a row: a word's slot needs no hash.
    uint256[2 ** 28] private _words;

    /// @param admin Gets DEFAULT_ADMIN_ROLE, which grants and revokes roles.
    /// @param registrar Gets REGISTRAR_ROLE.
    constructor(address admin, address registrar) EIP712(NAME, VERSION) {
        _grantRole(DEFAULT_ADMIN_ROLE, admin);
        _grantRole(REGISTRAR_ROLE, registrar);
    }

    /// @inheritdoc IVTrace
    function registerActor(address account, uint8 rights, bytes32 nameDigest)
        external
        onlyRole(REGISTRAR_ROLE)
        returns (uint32 actor)
    {
        if (account == address(0)) revert ZeroAccount();
        if (rights > RIGHTS_ALL) revert UnknownRights(rights);
        if (nameDigest == 0) revert ZeroNameDigest();
        actor = _actorNamed[nameDigest];
        if (actor != 0) revert NameTaken(nameDigest, actor);
        actor = _actors;
        if (actor == ACTOR_MAX) revert ActorsExhausted(ACTOR_MAX);
        _actors = ++actor;
        _actorNamed[nameDigest] = actor;
        _actorOf[actor] = Actor({account: account, rights: rights, sovereign: false});
        emit ActorRegistered(actor, account, rights, nameDigest);
    }

    /// @inheritdoc IVTrace
    function setRights(uint32 actor, uint8 rights) external onlyRole(REGISTRAR_ROLE) {
        if (_actorOf[actor].account == address(0)) revert UnknownActor(actor);
        if (rights > RIGHTS_ALL) revert UnknownRights(rights);
        _actorOf[actor].rights = rights;
        emit RightsChanged(actor, rights);
    }

    /// @inheritdoc IVTrace
    function setAccount(uint32 actor, address account, bytes calldata possession) external {
        Actor memory present = _actorOf[actor];
        if (present.account == address(0)) revert UnknownActor(actor);
        if (present.sovereign) {
            if (msg.sender != present.account) revert SovereignActor(actor);
        } else {
            _checkRole(REGISTRAR_ROLE);
        }
        if (account == address(0)) revert ZeroAccount();
        bool sovereign = present.sovereign || possession.length != 0;
        if (sovereign) {
            bytes32 message = keccak256(abi.encode(ACCOUNT_TYPEHASH, actor, account));
            _checkSignature(actor, account, message, possession);
        }
        _actorOf[actor] = Actor({account: account, rights: present.rights, sovereign: sovereign});
        emit AccountChanged(actor, account, sovereign);
    }

    /// @inheritdoc IVTrace
    function circulate(
        Range[] calldata goods,
        uint8 circType,
        uint32 operator,
        uint32 to,
        bytes32 formDigest,
        uint256 version_,
        bytes calldata signature
    ) external {
        bytes32 goodsHash = _hashGoods(goods);
        (address account, uint8 rights) = _checkParties(circType, operator, to);
        bytes32 message = _hashCirc(goodsHash, circType, operator, to, formDigest, version_);
        _checkSignature(operator, account, message, signature);
        uint256 times = _step(goods, circType, operator, to, rights);
        if (times != version_) revert WrongVersion(version_, times);
        _emitCirculated(goods, circType, operator, to, formDigest, version_);
    }

    /// @inheritdoc IVTrace
    function goodsOf(uint32 goodsId) external view returns (uint32 holder, uint32 times) {
        if (goodsId > GOODS_ID_MAX) return (0, 0);
        uint256 lane = _words[goodsId / 8] >> (goodsId % 8 * LANE_BITS);
        return (uint32(lane & ACTOR_MAX), uint32((lane >> HOLDER_BITS) & TIMES_MAX));
    }

    /// @inheritdoc IVTrace
    function actorOf(uint32 actor) external view returns (address account, uint8 rights) {
        Actor memory found = _actorOf[actor];
        return (found.account, found.rights);
    }

    /// @inheritdoc IVTrace
    function name() external pure returns (string memory) {
        return NAME;
    }

    /// @inheritdoc IVTrace
    function version() external pure returns (string memory) {
        return VERSION;
    }

    /// @inheritdoc AccessControl
    function supportsInterface(bytes4 interfaceId) public view override returns (bool) {
        return interfaceId == type(IVTrace).interfaceId || super.supportsInterface(interfaceId);
    }

    /// @dev Rule 1, and the EIP-712 hash of the ranges: that of their hashes, one after the other.
    function _hashGoods(Range[] calldata goods) private pure returns (bytes32 goodsHash) {
        if (goods.length == 0) revert NoGoods();
        uint256 scratch;
        uint256 hashes;
        bytes32 typeHash = RANGE_TYPEHASH;
        assembly ("memory-safe") {
            scratch := mload(0x40)
            hashes := add(scratch, 0x60)
            mstore(scratch, typeHash)
        }
        uint256 end = 1;
        for (uint256 i = 0; i < goods.length; ++i) {
            Range calldata range = goods[i];
            uint256 first = range.first;
            uint256 count = range.count;
            unchecked {
                if (count == 0) revert EmptyRange(i);
                if (first == 0 || first + count - 1 > GOODS_ID_MAX) {
                    revert GoodsIdOutOfBounds(i, uint32(first), uint32(count));
                }
                if (first < end) revert RangesNotAscending(i);
                end = first + count;
            }
            // The memory behind the free pointer is used without being taken: nothing is allocated before the end.
            assembly ("memory-safe") {
                mstore(add(scratch, 0x20), first)
                mstore(add(scratch, 0x40), count)
                mstore(add(hashes, mul(i, 0x20)), keccak256(scratch, 0x60))
            }
        }
        assembly ("memory-safe") {
            goodsHash := keccak256(hashes, mul(goods.length, 0x20))
        }
    }

    /// @dev The EIP-712 hash of a circ, `keccak256(abi.encode(…))` without taking memory.
    function _hashCirc(
        bytes32 goodsHash,
        uint8 circType,
        uint32 operator,
        uint32 to,
        bytes32 formDigest,
        uint256 version_
    ) private pure returns (bytes32 hash) {
        bytes32 typeHash = CIRC_TYPEHASH;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, typeHash)
            mstore(add(data, 0x20), goodsHash)
            mstore(add(data, 0x40), circType)
            mstore(add(data, 0x60), operator)
            mstore(add(data, 0x80), to)
            mstore(add(data, 0xa0), formDigest)
            mstore(add(data, 0xc0), version_)
            hash := keccak256(data, 0xe0)
        }
    }

    /// @dev Rules 2 to 5. Returns the operator's account and rights.
    function _checkParties(uint8 circType, uint32 operator, uint32 to)
        private
        view
        returns (address account, uint8 rights)
    {
        if (circType > EXAM || circType == 2) revert UnknownCircType(circType);
        Actor storage actor = _actorOf[operator];
        (account, rights) = (actor.account, actor.rights);
        if (account == address(0)) revert UnknownActor(operator);
        if (rights & RIGHT_CIRCULATE == 0) revert ActorDisabled(operator);
        if (circType == PRODUCE) {
            if (rights & RIGHT_PRODUCE == 0) revert MissingRight(operator, RIGHT_PRODUCE);
        } else if (circType == TRANSFER) {
            if (to == operator) revert TransferToSelf(operator);
        } else {
            if (to != operator) revert WrongReceiver(to, operator);
        }
        // Numbers are given in order: up to the operator's all are taken, and only one above it must be looked up.
        if (to == 0 || (to > operator && _actorOf[to].account == address(0))) revert UnknownActor(to);
    }

    /// @dev Rule 6, and the proof of possession. An account's own key is tried first: it is the usual case, and to
    /// ask whether the account is a contract costs as much as to recover the key.
    function _checkSignature(uint32 actor, address account, bytes32 message, bytes calldata signature) private view {
        bytes32 digest = _hashTypedDataV4(message);
        (address signer, ECDSA.RecoverError err,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (err == ECDSA.RecoverError.NoError && signer == account) return;
        if (!SignatureChecker.isValidERC1271SignatureNow(account, digest, signature)) revert BadSignature(actor, account);
    }

    /// @dev Rule 7, and the new state of all the goods. Returns the sum of their `times` before.
    function _step(Range[] calldata goods, uint8 circType, uint32 operator, uint32 to, uint8 rights)
        private
        returns (uint256 times)
    {
        bool anyHolder = circType == EXAM && rights & RIGHT_EXAMINE != 0;
        bool unheldToo = circType == PRODUCE;
        // For all lanes at once: the holder to find, the bits to clear and what to add.
        uint256 held = operator * EACH;
        uint256 cleared = circType == EXAM ? 0 : EACH_HOLDER;
        uint256 added = EACH_STEP + (circType == EXAM ? 0 : to * EACH);
        uint256 words;
        assembly {
            words := _words.slot
        }
        unchecked {
            for (uint256 i = 0; i < goods.length; ++i) {
                uint256 id;
                uint256 end;
                // As goods[i], whose bounds and types rule 1 has checked.
                assembly ("memory-safe") {
                    let range := add(goods.offset, mul(i, 0x40))
                    id := calldataload(range)
                    end := add(id, calldataload(add(range, 0x20)))
                }
                while (id < end) {
                    // The lanes of this word that the range covers.
                    uint256 lane = id % 8;
                    uint256 count = 8 - lane;
                    if (count > end - id) count = end - id;
                    uint256 mask = ((1 << (count * LANE_BITS)) - 1) << (lane * LANE_BITS);

                    uint256 slot = words + id / 8;
                    uint256 word;
                    assembly {
                        word := sload(slot)
                    }
                    uint256 lanes = word & mask;
                    uint256 counts = (lanes >> HOLDER_BITS) & EACH_TIMES;
                    uint256 foreign = (lanes ^ (held & mask)) & EACH_HOLDER;
                    uint256 broken = (counts + EACH) & EACH_OVERFLOW;
                    if (anyHolder) {
                        // A holder plus its maximum reaches the bit above it unless it is 0: so nobody's goods are
                        // found, and with the holders compared, those that another holds.
                        broken |= ~((lanes & EACH_HOLDER) + EACH_HOLDER) & EACH_STEP & mask;
                        broken |= ((foreign + EACH_HOLDER) >> (HOLDER_BITS - TIMES_BITS)) & (counts + EACH_EXAM_REST)
                            & EACH_OVERFLOW;
                    } else {
                        broken |= foreign;
                    }
                    // Goods that no circ has named are what most circs that produce find; they break nothing.
                    if (broken != 0 && !(unheldToo && lanes == 0)) {
                        _checkLanes(word, id, count, operator, anyHolder, unheldToo);
                    }
                    // The product's top lane is the sum of all lanes; it is below 2^15.
                    times += (counts * EACH) >> (7 * LANE_BITS);
                    // No lane carries into the next: its holder was cleared or stays, its times are below the limit.
                    word = word - (lanes & cleared) + (added & mask);
                    assembly {
                        sstore(slot, word)
                    }
                    id += count;
                }
            }
        }
    }

    /// @dev `emit Circulated(…)`, without looking at the goods once more: rule 1 has, so their calldata is copied.
    function _emitCirculated(
        Range[] calldata goods,
        uint8 circType,
        uint32 operator,
        uint32 to,
        bytes32 formDigest,
        uint256 version_
    ) private {
        bytes32 topic = Circulated.selector;
        assembly ("memory-safe") {
            let data := mload(0x40)
            let size := mul(goods.length, 0x40)
            mstore(data, formDigest)
            mstore(add(data, 0x20), version_)
            mstore(add(data, 0x40), 0x60)
            mstore(add(data, 0x60), goods.length)
            calldatacopy(add(data, 0x80), goods.offset, size)
            log4(data, add(0x80, size), topic, operator, to, circType)
        }
    }

    /// @dev Rule 7 for `count` goods of one word from `id` on, one by one. Returns only if none breaks it.
    function _checkLanes(uint256 word, uint256 id, uint256 count, uint32 operator, bool anyHolder, bool unheldToo)
        private
        pure
    {
        unchecked {
            for (uint256 end = id + count; id < end; ++id) {
                uint256 lane = word >> (id % 8 * LANE_BITS);
                uint256 holder = lane & ACTOR_MAX;
                uint256 limit = TIMES_MAX;
                if (holder != operator) {
                    if (!(holder == 0 ? unheldToo : anyHolder)) revert NotHolder(uint32(id), uint32(holder), operator);
                    limit = EXAM_TIMES_MAX;
                }
                if ((lane >> HOLDER_BITS) & TIMES_MAX >= limit) revert TimesExhausted(uint32(id));
            }
        }
    }
}
