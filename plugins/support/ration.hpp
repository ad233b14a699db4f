// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <ctime>

namespace mediaproxy::plugin_support
{

/// Looking at what others may have changed, so seldom that it takes at most a thousandth of the
/// thread's time, however much there is to look at. [core-thread]
class Ration
{
public:
    bool is_due() const noexcept { return Clock::now() >= next_; }

    /// Works now; the more of the processor that takes, the later it is due again.
    template <typename Work>
    void spend(Work&& work)
    {
        const std::chrono::nanoseconds before = used();
        work();
        next_ = Clock::now() + share * (used() - before);
    }

private:
    using Clock = std::chrono::steady_clock;
    static constexpr int share = 1000;

    static std::chrono::nanoseconds used() noexcept
    {
        timespec time{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    }

    Clock::time_point next_{};
};

} // namespace mediaproxy::plugin_support
