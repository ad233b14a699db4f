// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace mediaproxy::store
{

/// Unix time in milliseconds as it was when this process first asked, plus what has passed since:
/// ages made of it do not change when the wall clock is set.
inline std::int64_t unstepped_time() noexcept
{
    static const Now start = read_clocks();
    const auto passed = BootClock::now() - start.mono;
    return (std::chrono::duration_cast<Milliseconds>(start.wall.time_since_epoch()) +
            std::chrono::duration_cast<Milliseconds>(passed))
        .count();
}

} // namespace mediaproxy::store
