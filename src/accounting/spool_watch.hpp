// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <string>

#include "base/time.hpp"
#include "store/store.hpp"

namespace mediaproxy::accounting
{

/// Raises the alarm when records wait in memory because the spool does not take them in time, and
/// clears it when it does again; once each in the log. [core thread]
class SpoolWatch
{
public:
    /// Both borrowed.
    SpoolWatch(asio::io_context& io, const store::Store& store) : store_(store), timer_(io) {}

    /// After each record that was put: from now on it is looked after.
    void on_put();
    bool is_late() const noexcept { return !alarm_.empty(); }
    /// Why; empty: the spool is in time.
    const std::string& alarm() const noexcept { return alarm_; }

private:
    void look_in(Duration time);
    void look();
    void raise(const store::Store::Unwritten& unwritten);
    void clear();

    const store::Store& store_;
    asio::steady_timer timer_;
    bool looking_ = false;
    std::string alarm_;
    bool reported_ = false; ///< by us: of a failure the store says what it is
    TimePoint raised_{};
    std::shared_ptr<int> alive_ = std::make_shared<int>();
};

} // namespace mediaproxy::accounting
