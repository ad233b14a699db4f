// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "support/sql_dialect.hpp"

namespace mediaproxy::plugin_support
{

/// Whose fault it is that a statement failed.
enum class Fault {
    none,
    record,      ///< the values': the same statement with others would pass
    duplicate,   ///< the values' too: a unique index has them already
    no_table,    ///< the table that it names is not there
    refused,     ///< the database answers and will not: a right is missing, read-only, no column
    unavailable, ///< connection, lock, disk, time: passes by itself
};

/// What became of a statement; `message` is the database's own, without its address.
struct SqlOutcome {
    Fault fault = Fault::none;
    std::string message;

    bool ok() const noexcept { return fault == Fault::none; }
};

/// A value of a statement: UTF-8 text, bytes, or NULL.
struct SqlValue {
    enum class Kind { null, text, bytes };
    Kind kind = Kind::null;
    std::string_view value;
};

struct SqlColumn {
    std::string name;
    std::size_t characters = 0; ///< that it holds, when it is text and the database says so
};

struct SqlResult {
    std::vector<SqlColumn> columns;
    std::vector<std::vector<std::optional<std::string>>> rows; ///< bytes are bytes, not in hex
};

/// One connection to a database, by one client library. One thread; cancel() from any. Every call
/// ends within the driver's time limits, and after one that ended with Fault::unavailable only
/// disconnect() and connect() are called.
class SqlDriver
{
public:
    virtual ~SqlDriver() = default;

    /// Where it is, for messages: no password.
    virtual std::string place() const = 0;
    virtual const SqlDialect& dialect() const = 0;

    /// Anew; what was open is closed.
    virtual SqlOutcome connect() = 0;
    virtual void disconnect() noexcept = 0;

    virtual SqlOutcome begin() = 0;
    /// Fault::unavailable: nobody knows whether it was done.
    virtual SqlOutcome commit() = 0;
    /// Also when there is no transaction or no connection any more.
    virtual void rollback() = 0;

    /// One statement with the dialect's placeholders. Within a transaction, or by itself. `result`
    /// may be null when there are no rows to come.
    virtual SqlOutcome run(const std::string& sql, std::span<const SqlValue> values,
                           SqlResult* result) = 0;

    /// Ends what blocks, and everything after it, with Fault::unavailable.
    virtual void cancel() noexcept = 0;
};

} // namespace mediaproxy::plugin_support
