// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <libpq-fe.h>

namespace mediaproxy::accounting_postgres
{

struct ClearResult {
    void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, ClearResult>;

/// A statement and its values, where a null pointer is NULL. Borrowed. Values go as they are: the
/// server's binary form of text and of bytes.
struct Statement {
    std::string sql;
    std::vector<std::string_view> values;
};

/// Why a statement or the connection failed; `state` is the server's SQLSTATE, empty when it was
/// not the server who said so. An empty message: nothing failed.
struct Failure {
    std::string message;
    std::string state;
    std::string column = {}; ///< that a value was missing in

    bool any() const { return !message.empty(); }
};

/// One connection, of one thread. Nothing waits for longer than it is told, nor after cancel();
/// but names of hosts are looked up by the system's resolver, in its own time.
class Connection
{
public:
    using Milliseconds = std::chrono::milliseconds;
    struct Setting {
        std::string key; ///< of libpq
        std::string value;
    };

    Connection();
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    /// Connects anew.
    Failure open(const std::vector<Setting>& settings, Milliseconds timeout);
    bool is_open() const { return connection_ != nullptr; }
    void close() { connection_.reset(); }

    /// Runs the statements in order in one round trip, up to the first that fails; `results` has
    /// one for each that succeeded. `timeout`: between two answers. A failure that the server did
    /// not tell closes the connection.
    Failure run(std::span<const Statement> statements, std::vector<Result>& results,
                Milliseconds timeout);

    /// Ends every wait, also later ones. [any thread]
    void cancel() noexcept;

private:
    struct Finish {
        void operator()(PGconn* connection) const { PQfinish(connection); }
    };

    Failure wait(short events, std::chrono::steady_clock::time_point deadline) const;
    Failure connect(std::chrono::steady_clock::time_point deadline);
    Failure send(const Statement& statement);
    Failure flush(std::chrono::steady_clock::time_point deadline);
    Failure receive(Result& result, Milliseconds timeout);
    Failure collect(std::size_t count, std::vector<Result>& results, Milliseconds timeout);
    Failure lost() const;

    std::unique_ptr<PGconn, Finish> connection_;
    int cancel_fd_; ///< an eventfd, readable once cancelled
};

} // namespace mediaproxy::accounting_postgres
