// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {IKeyRegistry} from "../interfaces/IKeyRegistry.sol";
import {IParticipantRegistry} from "../interfaces/IParticipantRegistry.sol";

/// @title The holders of a key, in their order
/// @notice A seat is an account's position counted from 1, and 0 for whoever has none.
library Committee {
    uint256 private constant MIN_HOLDERS = 2;
    uint256 private constant MAX_HOLDERS = 15;

    /// @notice Give each of the holders its seat.
    function seat(
        mapping(address account => uint8 position) storage self,
        IParticipantRegistry participants,
        address[] calldata holders,
        uint256 threshold
    ) internal {
        // INVARIANT: R2, t > T/2, so that two disjoint groups never both reach a quorum.
        require(
            holders.length >= MIN_HOLDERS && holders.length <= MAX_HOLDERS && 2 * threshold > holders.length
                && threshold <= holders.length,
            IKeyRegistry.KeyRegistryInvalidThreshold(threshold, holders.length)
        );
        for (uint256 i = 0; i < holders.length; ++i) {
            address holder = holders[i];
            require(participants.isMember(holder), IKeyRegistry.KeyRegistryNotMember(holder));
            // INVARIANT: nobody counts twice towards the threshold.
            require(self[holder] == 0, IKeyRegistry.KeyRegistryDuplicateHolder(holder));
            self[holder] = uint8(i + 1);
        }
    }
}
