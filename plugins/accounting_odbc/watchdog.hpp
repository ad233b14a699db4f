// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include <sql.h>

namespace mediaproxy::accounting_odbc
{

/// Calls SQLCancel() on a statement that takes too long, or when all is to end: on a thread of its
/// own, as a driver may connect anew for it. Not every driver keeps SQL_ATTR_QUERY_TIMEOUT.
class Watchdog
{
public:
    using Clock = std::chrono::steady_clock;

    Watchdog();
    ~Watchdog();
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    /// Watches one statement as long as it lives.
    class Watch
    {
    public:
        Watch(Watchdog& watchdog, SQLHSTMT statement, Clock::time_point deadline);
        ~Watch();
        Watch(const Watch&) = delete;
        Watch& operator=(const Watch&) = delete;

    private:
        Watchdog& watchdog_;
    };

    /// Ends the watched statement, and those to come. Does not wait. [any thread]
    void cancel() noexcept;
    bool cancelled() const noexcept { return cancelled_.load(); }

private:
    void run();

    std::atomic<bool> cancelled_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
    SQLHSTMT statement_ = nullptr;
    Clock::time_point deadline_;
    bool cancelling_ = false; ///< SQLCancel() is being called
    bool ending_ = false;
    std::thread thread_; // last: it uses the others
};

} // namespace mediaproxy::accounting_odbc
