// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// @title Sets of up to 256 positions in one word
/// @dev Every function costs the same whatever the set (P8).
library BitSet {
    function has(uint256 set, uint256 position) internal pure returns (bool) {
        return (set >> position) & 1 == 1;
    }

    function add(uint256 set, uint256 position) internal pure returns (uint256) {
        return set | (1 << position);
    }

    function remove(uint256 set, uint256 position) internal pure returns (uint256) {
        return set & ~(1 << position);
    }

    /// @param size_ 1..256
    /// @return the positions 0 to size - 1
    function first(uint256 size_) internal pure returns (uint256) {
        return type(uint256).max >> (256 - size_);
    }

    function isSubsetOf(uint256 set, uint256 whole) internal pure returns (bool) {
        return set & ~whole == 0;
    }

    /// @notice Counts for every position at once how many sets hold it: `planes[i]` holds bit i of all the counts.
    /// @dev A row of binary adders: what a plane cannot hold is carried to the next. At most 15 sets.
    function tally(uint256[4] memory planes, uint256 set) internal pure {
        for (uint256 i = 0; set != 0; ++i) {
            (planes[i], set) = (planes[i] ^ set, planes[i] & set);
        }
    }

    /// @notice The positions that at least `count` of the tallied sets hold, 1 <= count <= 15.
    function atLeast(uint256[4] memory planes, uint256 count) internal pure returns (uint256 reached) {
        uint256 equal = type(uint256).max;
        for (uint256 i = 4; i != 0;) {
            --i;
            if ((count >> i) & 1 == 1) {
                equal &= planes[i];
            } else {
                reached |= equal & planes[i];
                equal &= ~planes[i];
            }
        }
        reached |= equal;
    }

    /// @notice How many positions the set holds, 0..256.
    /// @dev Adds neighbouring bits, pairs, nibbles and bytes in parallel. The last step sums the 32 byte counts: they
    /// need up to nine bits, so they are folded to 16-bit lanes before the multiplication gathers them in the top lane.
    function size(uint256 set) internal pure returns (uint256 count) {
        unchecked {
            count = set - ((set >> 1) & (type(uint256).max / 3));
            count = (count & (type(uint256).max / 5)) + ((count >> 2) & (type(uint256).max / 5));
            count = (count + (count >> 4)) & (type(uint256).max / 17);
            count = (count & (type(uint256).max / 257)) + ((count >> 8) & (type(uint256).max / 257));
            count = (count * (type(uint256).max / 65535)) >> 240;
        }
    }
}
