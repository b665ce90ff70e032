// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";

/// @title Arithmetic modulo numbers of thousands of bits
/// @notice A number is big-endian bytes of whole words; those of one call are equally long. `addMod`, `difference` and
/// `squareMod` take numbers below the modulus, and none of them changes what it is given.
/// @dev Powers are those of the MODEXP precompile, which takes at most 1024 bytes for each of its operands (EIP-7823).
library Modular {
    bytes private constant TWO = hex"02";

    /// @param value big-endian, at most `length` bytes
    /// @param length whole words, in bytes
    function load(bytes calldata value, uint256 length) internal pure returns (bytes memory loaded) {
        loaded = new bytes(length);
        assembly ("memory-safe") {
            calldatacopy(add(add(loaded, 32), sub(length, value.length)), value.offset, value.length)
        }
    }

    /// @return n² in `length` bytes, which must be at least twice those of `value`
    function square(bytes memory value, uint256 length) internal view returns (bytes memory) {
        bytes memory largest = new bytes(length);
        assembly ("memory-safe") {
            for { let i := length } i { i := sub(i, 32) } {
                mstore(add(largest, i), not(0))
            }
        }
        // No square is 2^(8 length) - 1 or more: this modulus takes nothing away, and is no longer than the result.
        return Math.modExp(value, TWO, largest);
    }

    function squareMod(bytes memory value, bytes memory modulus) internal view returns (bytes memory) {
        return Math.modExp(value, TWO, modulus);
    }

    function less(bytes memory a, bytes memory b) internal pure returns (bool smaller) {
        assembly ("memory-safe") {
            for { let i := 32 } iszero(gt(i, mload(a))) { i := add(i, 32) } {
                let left := mload(add(a, i))
                let right := mload(add(b, i))
                if sub(left, right) {
                    smaller := lt(left, right)
                    break
                }
            }
        }
    }

    function addMod(bytes memory a, bytes memory b, bytes memory modulus) internal pure returns (bytes memory sum) {
        uint256 carry;
        sum = new bytes(a.length);
        // From the last word to the first: offset i is that of the word from the length's.
        assembly ("memory-safe") {
            for { let i := mload(a) } i { i := sub(i, 32) } {
                let left := mload(add(a, i))
                let word := add(left, mload(add(b, i)))
                let over := lt(word, left)
                word := add(word, carry)
                carry := or(over, lt(word, carry))
                mstore(add(sum, i), word)
            }
        }
        if (carry != 0 || !less(sum, modulus)) sum = _minus(sum, modulus);
    }

    /// @return |a - b|
    function difference(bytes memory a, bytes memory b) internal pure returns (bytes memory) {
        return less(a, b) ? _minus(b, a) : _minus(a, b);
    }

    /// @return rest a - b modulo 2^(8 length)
    function _minus(bytes memory a, bytes memory b) private pure returns (bytes memory rest) {
        rest = new bytes(a.length);
        assembly ("memory-safe") {
            let borrow := 0
            for { let i := mload(a) } i { i := sub(i, 32) } {
                let left := mload(add(a, i))
                let word := sub(left, mload(add(b, i)))
                let under := lt(left, word)
                mstore(add(rest, i), sub(word, borrow))
                borrow := or(under, lt(word, borrow))
            }
        }
    }
}
