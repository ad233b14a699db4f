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

    /// For records that a failing disk does not take. Not a setting.
    std::size_t record_memory = 256UL * 1024 * 1024;
};

} // namespace mediaproxy::store
