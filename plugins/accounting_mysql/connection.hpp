// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <mutex>
#include <string>

#include <mysql.h>

#include "support/sql_driver.hpp"

namespace mediaproxy::accounting_mysql
{

/// libmariadb's calls that go over the network, each with a time limit and ended by cancel(). One
/// thread; cancel() from any. After a failure in which the server did not answer, close() is all
/// that is left to do.
class Connection
{
public:
    using Milliseconds = std::chrono::milliseconds;

    Connection();
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// A new handle, for its options to be set and then open(); null without memory.
    MYSQL* renew();
    MYSQL* handle() const noexcept { return mysql_; }

    /// `socket` is a path, or null for TCP; text that is null is the library's default.
    plugin_support::SqlOutcome open(const char* host, const char* user, const char* password,
                                    const char* database, unsigned port, const char* socket,
                                    Milliseconds limit);
    void close() noexcept;

    /// One statement; its rows go into `result` when that is not null.
    plugin_support::SqlOutcome query(const std::string& sql, plugin_support::SqlResult* result,
                                     Milliseconds limit);

    /// Whether the last failure was that the server had closed the connection, as it does with one
    /// that was idle for long.
    bool was_closed() const noexcept { return was_closed_; }

    /// For this object's whole life.
    void cancel() noexcept;

private:
    enum class Ending { finished, too_late, cancelled };
    using Deadline = std::chrono::steady_clock::time_point;

    template <class Continue>
    Ending finish(int wanted, Continue&& go_on, Deadline deadline) noexcept;
    int await(int wanted, Deadline deadline, Ending& ending) noexcept;
    void hold_socket(Milliseconds limit) noexcept;
    void make_non_blocking() noexcept;
    void release_socket() noexcept;
    void cut() noexcept;
    plugin_support::SqlOutcome failure(Ending ending, Milliseconds limit);

    MYSQL* mysql_ = nullptr;
    bool was_closed_ = false;
    int cancelled_ = -1; ///< an eventfd, readable from cancel() on
    std::mutex mutex_;   ///< of what follows
    /// A descriptor of our own for the connected socket: libmariadb closes its when it likes, and
    /// the number may then be another's.
    int socket_ = -1;
};

} // namespace mediaproxy::accounting_mysql
