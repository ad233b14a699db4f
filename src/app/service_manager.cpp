// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/service_manager.hpp"

#if MEDIAPROXYD_HAS_SYSTEMD
#include <systemd/sd-daemon.h>
#endif

namespace mediaproxy::app
{

namespace
{

constexpr Seconds status_interval{10};

#if MEDIAPROXYD_HAS_SYSTEMD
void notify(const std::string& state)
{
    ::sd_notify(0, state.c_str());
}

std::chrono::microseconds watchdog_period()
{
    std::uint64_t period = 0;
    return std::chrono::microseconds{::sd_watchdog_enabled(0, &period) > 0 ? period : 0};
}
#else
void notify(const std::string&)
{
}

std::chrono::microseconds watchdog_period()
{
    return std::chrono::microseconds{0};
}
#endif

} // namespace

ServiceManager::ServiceManager(asio::io_context& io, std::function<std::string()> status)
    : status_(std::move(status)), status_timer_(io), watchdog_timer_(io),
      watchdog_period_(watchdog_period())
{
}

void ServiceManager::ready()
{
    notify("READY=1\nSTATUS=" + status_());
    tell_status_again();
    if (watchdog_period_.count() > 0)
        feed_watchdog_again();
}

void ServiceManager::stopping()
{
    status_timer_.cancel();
    notify("STOPPING=1\nSTATUS=stopping, " + status_());
}

void ServiceManager::tell_status_again()
{
    status_timer_.expires_after(status_interval);
    status_timer_.async_wait([this](std::error_code cancelled) {
        if (cancelled)
            return;
        notify("STATUS=" + status_());
        tell_status_again();
    });
}

void ServiceManager::feed_watchdog_again()
{
    notify("WATCHDOG=1");
    watchdog_timer_.expires_after(watchdog_period_ / 2);
    watchdog_timer_.async_wait([this](std::error_code cancelled) {
        if (!cancelled)
            feed_watchdog_again();
    });
}

} // namespace mediaproxy::app
