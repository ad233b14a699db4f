// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <string>

#include "base/time.hpp"

namespace mediaproxy::app
{

/// What systemd is told (sd_notify(3)): readiness, status, that we stop, that the loop turns.
/// Without systemd, or without libsystemd, nothing happens. [core thread]
class ServiceManager
{
public:
    /// `status` makes the line that `systemctl status` shows; asked for every ten seconds.
    ServiceManager(asio::io_context& io, std::function<std::string()> status);

    /// Tells that we serve, and from now on the status and, at half its period, the watchdog.
    void ready();
    void stopping();

private:
    void tell_status_again();
    void feed_watchdog_again();

    std::function<std::string()> status_;
    asio::steady_timer status_timer_, watchdog_timer_;
    std::chrono::microseconds watchdog_period_{0}; ///< 0: none
};

} // namespace mediaproxy::app
