// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {AccessControl} from "@openzeppelin/contracts/access/AccessControl.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {EIP712} from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import {MessageHashUtils} from "@openzeppelin/contracts/utils/cryptography/MessageHashUtils.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import {Custody} from "./Custody.sol";
import {IVTrace} from "./IVTrace.sol";

/// @title VTrace
/// @notice See {IVTrace}, which states the rules.
/// @dev {Custody} keeps the goods. Assembly is for what every circ pays: it reads calldata and storage, and hashes, without
/// the copies, checks and memory that Solidity would add.
// slither-disable-start assembly
contract VTrace is IVTrace, Custody, AccessControl, EIP712 {
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
    uint8 private constant TRANSFER = 3;
    uint8 private constant EXAM = 4;

    uint8 private constant RIGHT_CIRCULATE = 1;
    uint8 private constant RIGHT_PRODUCE = 2;
    uint8 private constant RIGHTS_ALL = 7;

    /// @dev All bits but the rights that a circ needs, 16 for each kind, EXAM to PRODUCE: 8 if the receiver is the
    /// operator, 8 if it is another. None where there is no such circ.
    uint256 private constant SPARED = 0xfe00_00fe_0000_fe00_fcfc;

    uint256 private constant GOODS_ID_END = 2 ** 31;

    /// @dev The EIP-712 domain separator and the chain that it is for; a fork of the chain has another.
    bytes32 private immutable _domain;
    uint256 private immutable _domainChainId;

    uint32 private _actors;
    mapping(bytes32 nameDigest => uint32 actor) private _actorNamed;
    /// @dev As long as the numbers of actors can be, so that to find a slot takes neither hash nor check.
    Actor[2 ** 32] private _actorOf;

    /// @param admin Gets DEFAULT_ADMIN_ROLE, which grants and revokes roles.
    /// @param registrar Gets REGISTRAR_ROLE.
    constructor(address admin, address registrar) EIP712(NAME, VERSION) {
        _domain = _domainSeparatorV4();
        _domainChainId = block.chainid;
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
            bytes32 digest = _hashTypedDataV4(message);
            // Whatever is wrong with a signature, it is nobody's.
            // slither-disable-next-line unused-return
            (address signer,,) = ECDSA.tryRecoverCalldata(digest, possession);
            if (signer != account) _checkWallet(actor, account, digest, possession);
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
        bytes32,
        uint256 version_,
        bytes calldata signature
    ) external {
        bytes32 goodsHash = _hashGoods(goods);
        uint256 actor = _checkParties(circType, operator, to);
        _checkSignature(operator, actor, _hashCirc(goodsHash), signature);
        uint256 times = _step(goods, operator, to, _othersOf(circType, actor >> 160));
        if (times != version_) revert WrongVersion(version_, times);
        _emitCirculated(goods, circType, operator, to);
    }

    /// @inheritdoc IVTrace
    function goodsOf(uint32 goodsId) external view returns (uint32 holder, uint32 times) {
        return _custodyOf(goodsId);
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
        bytes32 typeHash = RANGE_TYPEHASH;
        uint256 refused;
        assembly ("memory-safe") {
            // A range is hashed at the bottom of the memory, and the pointer there put back afterwards.
            let free := mload(0x40)
            let hash := free
            let range := goods.offset
            let rangesEnd := add(range, shl(6, goods.length))
            let end := 1
            let broken := iszero(goods.length)
            mstore(0, typeHash)
            for {} 1 {} {
                // The types of a range need no check of their own: its bounds are within them.
                calldatacopy(0x20, range, 0x40)
                let first := mload(0x20)
                let next := add(first, mload(0x40))
                broken := or(broken, or(lt(first, end), or(iszero(gt(next, first)), gt(next, GOODS_ID_END))))
                if broken {
                    refused := range
                    break
                }
                mstore(hash, keccak256(0, 0x60))
                hash := add(hash, 0x20)
                range := add(range, 0x40)
                end := next
                if eq(range, rangesEnd) { break }
            }
            goodsHash := keccak256(free, sub(hash, free))
            mstore(0x40, free)
        }
        if (refused != 0) _refuseRange(goods, refused);
    }

    /// @dev Which part of rule 1 the range at `range` in the calldata breaks.
    function _refuseRange(Range[] calldata goods, uint256 range) private pure {
        if (goods.length == 0) revert NoGoods();
        uint256 i;
        assembly ("memory-safe") {
            i := div(sub(range, goods.offset), 0x40)
        }
        (uint256 first, uint256 count) = (goods[i].first, goods[i].count);
        if (count == 0) revert EmptyRange(i);
        if (first == 0 || first + count > GOODS_ID_END) revert GoodsIdOutOfBounds(i, uint32(first), uint32(count));
        revert RangesNotAscending(i);
    }

    /// @dev Rules 2 to 5. Returns the operator's slot: its account, its rights above that.
    function _checkParties(uint256 circType, uint256 operator, uint256 to) private view returns (uint256 actor) {
        uint256 entry;
        assembly ("memory-safe") {
            actor := sload(add(_actorOf.slot, operator))
            entry := add(mul(circType, 16), mul(eq(to, operator), 8))
        }
        if ((actor >> 160 | SPARED >> entry) & 0xff != 0xff) {
            _refuseParties(uint8(circType), uint32(operator), uint32(to), actor);
        }
        // Numbers are given in order: up to the operator's all are taken, and only one above it must be looked up.
        if (to > operator) {
            uint256 receiver;
            assembly ("memory-safe") {
                receiver := sload(add(_actorOf.slot, to))
            }
            if (receiver == 0) revert UnknownActor(uint32(to));
        } else if (to == 0) {
            revert UnknownActor(0);
        }
    }

    /// @dev Which of rules 2 to 4 is broken.
    function _refuseParties(uint8 circType, uint32 operator, uint32 to, uint256 actor) private pure {
        if (circType > EXAM || circType == 2) revert UnknownCircType(circType);
        if (actor == 0) revert UnknownActor(operator);
        if (actor >> 160 & RIGHT_CIRCULATE == 0) revert ActorDisabled(operator);
        if (circType == PRODUCE) revert MissingRight(operator, RIGHT_PRODUCE);
        if (circType == TRANSFER) revert TransferToSelf(operator);
        revert WrongReceiver(to, operator);
    }

    /// @dev The EIP-712 hash of the circ that {circulate} was called with: its values stand in the calldata, checked by
    /// the decoder, in the order of the type.
    function _hashCirc(bytes32 goodsHash) private pure returns (bytes32 hash) {
        bytes32 typeHash = CIRC_TYPEHASH;
        assembly ("memory-safe") {
            let data := mload(0x40)
            mstore(data, typeHash)
            mstore(add(data, 0x20), goodsHash)
            calldatacopy(add(data, 0x40), 0x24, 0xa0)
            hash := keccak256(data, 0xe0)
        }
    }

    /// @dev Rule 6. An account's own key is tried first: it is the usual case, and to ask whether the account is a
    /// contract costs as much as to recover the key.
    function _checkSignature(uint32 operator, uint256 actor, bytes32 message, bytes calldata signature) private view {
        bytes32 domain = block.chainid == _domainChainId ? _domain : _domainSeparatorV4();
        bytes32 digest = MessageHashUtils.toTypedDataHash(domain, message);
        bytes32 r;
        bytes32 s;
        uint8 v;
        assembly ("memory-safe") {
            r := calldataload(signature.offset)
            s := calldataload(add(signature.offset, 0x20))
            v := byte(0, calldataload(add(signature.offset, 0x40)))
        }
        // Whatever is wrong with a signature, it is nobody's, and no account is zero.
        // slither-disable-next-line unused-return
        (address signer,,) = ECDSA.tryRecover(digest, v, r, s);
        // Two comparisons at once; ^ is not meant as a power.
        // slither-disable-next-line incorrect-exp
        if ((uint160(signer) ^ actor) << 96 | signature.length ^ 65 != 0) {
            _checkWallet(operator, address(uint160(actor)), digest, signature);
        }
    }

    /// @dev Rule 6 where the account is a contract (EIP-1271), or its signature is wrong.
    function _checkWallet(uint32 actor, address account, bytes32 digest, bytes calldata signature) private view {
        if (SignatureChecker.isValidERC1271SignatureNow(account, digest, signature)) return;
        revert BadSignature(actor, account);
    }

    /// @dev `emit Circulated(…)`, without looking at the goods once more: rule 1 has, so their calldata is copied.
    function _emitCirculated(Range[] calldata goods, uint256 circType, uint256 operator, uint256 to) private {
        bytes32 topic = Circulated.selector;
        assembly ("memory-safe") {
            let data := mload(0x40)
            let size := mul(goods.length, 0x40)
            calldatacopy(data, 0x84, 0x40)
            mstore(add(data, 0x40), 0x60)
            mstore(add(data, 0x60), goods.length)
            calldatacopy(add(data, 0x80), goods.offset, size)
            log4(data, add(0x80, size), topic, operator, to, circType)
        }
    }
}
// slither-disable-end assembly
