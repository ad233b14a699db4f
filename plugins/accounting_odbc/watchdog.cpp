// SPDX-License-Identifier: GPL-2.0-or-later
#include "watchdog.hpp"

namespace mediaproxy::accounting_odbc
{

namespace
{

/// A cancel that comes before the driver has begun has no effect: it is repeated.
constexpr std::chrono::milliseconds again{500};

} // namespace

Watchdog::Watchdog() : thread_([this] { run(); })
{
}

Watchdog::~Watchdog()
{
    {
        const std::lock_guard held(mutex_);
        ending_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

Watchdog::Watch::Watch(Watchdog& watchdog, SQLHSTMT statement, Clock::time_point deadline)
    : watchdog_(watchdog)
{
    const std::lock_guard held(watchdog_.mutex_);
    watchdog_.statement_ = statement;
    watchdog_.deadline_ = deadline;
    watchdog_.changed_.notify_all();
}

Watchdog::Watch::~Watch()
{
    std::unique_lock held(watchdog_.mutex_);
    watchdog_.statement_ = nullptr;
    watchdog_.changed_.wait(held, [&] { return !watchdog_.cancelling_; });
}

void Watchdog::cancel() noexcept
{
    cancelled_.store(true);
    const std::lock_guard held(mutex_);
    changed_.notify_all();
}

void Watchdog::run()
{
    std::unique_lock held(mutex_);
    while (!ending_) {
        if (statement_ == nullptr) {
            changed_.wait(held);
            continue;
        }
        if (!cancelled_.load() && Clock::now() < deadline_) {
            changed_.wait_until(held, deadline_);
            continue;
        }
        SQLHSTMT statement = statement_;
        cancelling_ = true;
        held.unlock();
        SQLCancel(statement);
        held.lock();
        cancelling_ = false;
        changed_.notify_all();
        if (statement_ == statement)
            changed_.wait_for(held, again);
    }
}

} // namespace mediaproxy::accounting_odbc
