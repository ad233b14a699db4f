// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/time.hpp"

#include <ctime>

namespace mediaproxy
{

BootClock::time_point BootClock::now() noexcept
{
    timespec spec{};
    ::clock_gettime(CLOCK_BOOTTIME, &spec);
    return time_point(std::chrono::seconds(spec.tv_sec) + std::chrono::nanoseconds(spec.tv_nsec));
}

Now read_clocks() noexcept
{
    return Now{BootClock::now(), std::chrono::time_point_cast<std::chrono::microseconds>(
                                     std::chrono::system_clock::now())};
}

} // namespace mediaproxy
