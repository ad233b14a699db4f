// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>

namespace mediaproxy
{

/// The monotonic clock of the daemon: CLOCK_BOOTTIME, the clock in which forwarding back ends say
/// when they last saw a packet. Only shells call now(); pure rooms are handed a TimePoint.
struct BootClock {
    using duration = std::chrono::nanoseconds;
    using rep = duration::rep;
    using period = duration::period;
    using time_point = std::chrono::time_point<BootClock>;
    static constexpr bool is_steady = true;
    static time_point now() noexcept;
};

using TimePoint = BootClock::time_point;
using Duration = BootClock::duration;
using Seconds = std::chrono::seconds;
using Milliseconds = std::chrono::milliseconds;

/// Wall clock time, for records only; durations come from TimePoint.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

/// One instant on both clocks.
struct Now {
    TimePoint mono{};
    WallTime wall{};
};

/// Reads both clocks.
Now read_clocks() noexcept;

} // namespace mediaproxy
