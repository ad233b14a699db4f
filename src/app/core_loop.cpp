// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/core_loop.hpp"

#include <exception>
#include <fmt/format.h>

#include "base/log.hpp"

namespace mediaproxy::app
{

namespace
{

using Clock = std::chrono::steady_clock;

void poll_until_quiet(asio::io_context& io, std::chrono::microseconds busy_poll)
{
    Clock::time_point last_work = Clock::now();
    while (!io.stopped()) {
        const bool worked = io.poll() > 0;
        const Clock::time_point now = Clock::now();
        if (worked)
            last_work = now;
        else if (now - last_work >= busy_poll)
            return;
    }
}

} // namespace

void run_core_loop(asio::io_context& io, std::chrono::microseconds busy_poll)
{
    while (!io.stopped()) {
        try {
            while (io.run_one() > 0) {
                if (busy_poll.count() > 0)
                    poll_until_quiet(io, busy_poll);
            }
        } catch (const std::exception& escaped) {
            log::write(log::Level::critical,
                       fmt::format("an exception escaped: {}; going on", escaped.what()));
        }
    }
}

} // namespace mediaproxy::app
