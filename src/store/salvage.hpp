// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"
#include "store/swap.hpp"

namespace mediaproxy::store
{

struct Salvaged {
    std::string kept_as; ///< the damaged file
    std::uint64_t records = 0, states = 0;
    std::uint64_t last_sequence = 0; ///< that the damaged file is known to have given out
};

/// Makes a new file with every row of a damaged one that can still be read, then sets that one
/// aside, under a name that tells when, and puts the new one in its place; sequence numbers go on
/// from `least_sequence` at least. Until the new file is complete nothing else is touched. Nobody
/// may have the file open. Blocks for long when the file is large.
Result<Salvaged> set_aside_and_salvage(const std::string& path, std::uint64_t least_sequence,
                                       const BetweenSteps& between = {});

} // namespace mediaproxy::store
