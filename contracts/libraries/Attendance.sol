// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

import {BitSet} from "./BitSet.sol";

/// @title Who of a study's participants is still waited for
/// @notice Counts for each participant the rounds in a row whose sum went on without its update. At three it is absent:
/// no phase waits for it any more, and all that it does in time counts as before. One sum with its update ends that.
/// @dev The counters have two bits and stop at three. Bit i of `low` and `high` are those of the participant at position
/// i, so that counting all of them costs the same however many they are (P8). Only rounds that froze a set count: in any
/// other the participants may not be what was missing. Whoever was in the newest sum has the count zero, hence at least
/// `minCohort` participants are waited for at any time.
library Attendance {
    using BitSet for uint256;

    struct Counters {
        uint256 low;
        uint256 high;
        uint256 returned; // bit i: the participant at position i has come back in the present run of steps
    }

    /// @notice Count one more round.
    /// @param everyone the positions of all participants
    /// @param sum the positions of those whose updates are in the round's sum
    function count(Counters storage self, uint256 everyone, uint256 sum) internal {
        (uint256 low, uint256 high) = (self.low, self.high);
        uint256 missed = everyone & ~sum;
        self.low = missed & (~low | high);
        self.high = missed & (low | high);
    }

    /// @return positions of those who are not waited for
    function absent(Counters storage self) internal view returns (uint256) {
        return self.low & self.high;
    }

    /// @return granted whether the participant had not come back yet in this run of steps
    function comeBack(Counters storage self, uint256 participant) internal returns (bool granted) {
        uint256 returned = self.returned;
        granted = !returned.has(participant);
        self.returned = returned.add(participant);
    }
}
