// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace mediaproxy::store
{

struct Salvaged {
    std::string kept_as; ///< the damaged file
    std::uint64_t records = 0, states = 0;
    std::uint64_t last_sequence = 0; ///< that the damaged file is known to have given out
};

/// Sets a damaged file aside, under a name that tells when, and makes a new one with every row that
/// can still be read. Nobody may have the file open. Blocks for long when the file is large.
Result<Salvaged> set_aside_and_salvage(const std::string& path);

} // namespace mediaproxy::store
