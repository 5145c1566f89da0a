// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {IERC1271} from "@openzeppelin/contracts/interfaces/IERC1271.sol";

/// @title An account of several keys (EIP-1271), for tests: what enough of its owners signed, it signed
/// @dev A signature is those of the owners, 65 bytes each, in the order of their addresses. What else a real wallet
/// guards is open to everybody here.
contract Wallet is IERC1271 {
    mapping(address owner => bool) public isOwner;
    uint256 public threshold;

    constructor(address[] memory owners, uint256 threshold_) {
        for (uint256 i = 0; i < owners.length; ++i) {
            isOwner[owners[i]] = true;
        }
        threshold = threshold_;
    }

    function setThreshold(uint256 threshold_) external {
        threshold = threshold_;
    }

    function execute(address to, bytes calldata data) external {
        (bool done, bytes memory answer) = to.call(data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(answer, 0x20), mload(answer))
            }
        }
    }

    function isValidSignature(bytes32 hash, bytes calldata signature) external view returns (bytes4) {
        uint256 count = signature.length / 65;
        if (count < threshold || signature.length % 65 != 0) return 0xffffffff;
        address last = address(0);
        for (uint256 i = 0; i < count; ++i) {
            address signer = ECDSA.recoverCalldata(hash, signature[65 * i:65 * i + 65]);
            if (signer <= last || !isOwner[signer]) return 0xffffffff;
            last = signer;
        }
        return IERC1271.isValidSignature.selector;
    }
}
