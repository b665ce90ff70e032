// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {IRoundManager} from "../interfaces/IRoundManager.sol";
import {WrongProduct} from "../types/RoundTypes.sol";
import {Modular} from "./Modular.sol";

/// @title One multiplication of an aggregate, checked against the roots on record
/// @notice Leaves are those of docs/crypto.md. Their preimages have a length of their own (33 bytes, an inner node's 64),
/// so that no node passes for a leaf; and a leaf names its ciphertext and position, so that none passes for another.
library Product {
    using MerkleProof for bytes32[];

    uint256 private constant MAX_MODULUS = 512;

    /// @notice Whether the aggregate is wrong at this place: what it has there is not the product of what it has before
    /// and the update's ciphertext; for the first update, not that ciphertext.
    /// @param position of the update in the set's order, counted from 1
    /// @param modulusHash keccak256 of the key's modulus
    /// @dev What stands before must itself be a number below n²: where it is not, the place before is the wrong one.
    function isWrong(WrongProduct calldata shown, bytes32 aggregateRoot, uint256 position, bytes32 modulusHash)
        internal
        view
        returns (bool)
    {
        uint32 index = shown.ciphertext;
        bytes32 factor = keccak256(abi.encodePacked(index, shown.factor));
        _checkPath(shown.factorPath, shown.updateRoot, factor);
        _checkPath(shown.productPath, aggregateRoot, _prefix(index, position, shown.product));
        if (position == 1) return keccak256(shown.product) != keccak256(shown.factor);

        _checkPath(shown.beforePath, aggregateRoot, _prefix(index, position - 1, shown.before));
        bytes calldata modulus = shown.modulus;
        require(keccak256(modulus) == modulusHash, IRoundManager.RoundManagerModulusMismatch(modulusHash, keccak256(modulus)));
        require(modulus.length <= MAX_MODULUS, IRoundManager.RoundManagerModulusTooLong(modulus.length, MAX_MODULUS));
        return !_isProduct(shown.before, shown.factor, shown.product, modulus);
    }

    /// @dev 4xy = (x + y)² - (x - y)²; n is odd, so 4z = 4xy modulo n² makes z = xy. A z that is not the one encoding of a
    /// number below n² is nobody's product.
    function _isProduct(bytes calldata x_, bytes calldata y_, bytes calldata z_, bytes calldata modulus) private view returns (bool) {
        uint256 size = 2 * modulus.length;
        uint256 length = (size + 31) & ~uint256(31);
        bytes memory squared = Modular.square(Modular.load(modulus, length), length);
        bytes memory x = _ciphertext(x_, size, length, squared);
        bytes memory y = _ciphertext(y_, size, length, squared);
        if (z_.length != size) return false;
        bytes memory z = Modular.load(z_, length);
        if (!Modular.less(z, squared)) return false;

        bytes memory small = Modular.squareMod(Modular.difference(x, y), squared);
        bytes memory large = Modular.squareMod(Modular.addMod(x, y, squared), squared);
        z = Modular.addMod(z, z, squared);
        z = Modular.addMod(z, z, squared);
        return keccak256(Modular.addMod(z, small, squared)) == keccak256(large);
    }

    function _ciphertext(bytes calldata value, uint256 size, uint256 length, bytes memory squared)
        private
        pure
        returns (bytes memory number)
    {
        require(value.length == size, IRoundManager.RoundManagerNotACiphertext());
        number = Modular.load(value, length);
        require(Modular.less(number, squared), IRoundManager.RoundManagerNotACiphertext());
    }

    function _prefix(uint32 index, uint256 position, bytes calldata value) private pure returns (bytes32) {
        return keccak256(abi.encodePacked(index, uint32(position), value));
    }

    function _checkPath(bytes32[] calldata path, bytes32 root, bytes32 inner) private pure {
        bytes32 leaf = keccak256(abi.encodePacked(bytes1(0), inner));
        require(path.verifyCalldata(root, leaf), IRoundManager.RoundManagerNotInTree(root, leaf));
    }
}
