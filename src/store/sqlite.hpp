// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <sqlite3.h>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"

namespace mediaproxy::store
{

class Statement;

/// A connection to an SQLite file; errors name the file, and are `invalid` when it is damaged. One
/// thread at a time.
class Connection
{
public:
    enum class Access {
        create, ///< reads and writes; the file is made when it is missing
        write,  ///< the file must be there
        read,
    };
    static Result<Connection> open(const std::string& path, Access access = Access::create);

    /// One or more statements without results.
    Result<void> execute(const char* sql);
    Result<Statement> prepare(std::string_view sql);
    /// The first column of the first row.
    Result<std::uint64_t> number(std::string_view sql);
    /// The transaction that a failed statement left open, if any.
    void roll_back() noexcept;
    /// Looks through the file's structure, but no longer than that.
    Result<void> check(Milliseconds most);
    /// No checkpoints after commits of this connection; `frames` is told how long the WAL is.
    void count_frames(std::atomic<int>& frames);
    enum class Checkpoint {
        passive, ///< copies what it can without anybody waiting
        restart, ///< and lets the WAL begin anew; writers wait meanwhile
    };
    Result<void> checkpoint(Checkpoint kind);
    Error error(std::string_view doing) const;

private:
    struct Close {
        void operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }
    };
    Connection(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}

    std::unique_ptr<sqlite3, Close> handle_;
    std::string path_;
};

/// A prepared statement, used again and again. Bound bytes are borrowed until the next reset().
class Statement
{
public:
    enum class Step { row, done, failed };

    explicit Statement(sqlite3_stmt* handle) : handle_(handle) {}

    Statement& bind(int index, std::string_view text);
    Statement& bind_blob(int index, std::string_view bytes);
    Statement& bind(int index, std::uint64_t number);
    Step step();
    /// step() of a statement without results, and reset().
    Step run();
    void reset();

    /// Columns of the row; bytes are valid until the next step.
    std::string_view bytes(int column);
    std::uint64_t number(int column);
    bool is_null(int column);

private:
    struct Finish {
        void operator()(sqlite3_stmt* handle) const noexcept { sqlite3_finalize(handle); }
    };
    std::unique_ptr<sqlite3_stmt, Finish> handle_;
};

} // namespace mediaproxy::store
