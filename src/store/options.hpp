// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>

#include "base/time.hpp"

namespace mediaproxy::store
{

/// How what must survive the process is kept; names and defaults are those of the configuration
/// file.
struct Options {
    enum class Spool {
        disk,
        memory, ///< nothing survives the process: for hosts without a disk
    };
    Spool spool = Spool::disk;
    /// What is committed survives a power cut after so long; it survives the process at once.
    Milliseconds sync_interval{100};

    // Not settings.
    /// For records that a failing disk does not take.
    std::size_t record_memory = 256UL * 1024 * 1024;
    /// How long a start looks for damage; what it does not reach is repaired when it is found.
    Milliseconds check_patience{2000};
};

} // namespace mediaproxy::store
