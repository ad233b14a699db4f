// SPDX-License-Identifier: GPL-2.0-or-later
#include "driver.hpp"

#include <chrono>
#include <string_view>
#include <thread>
#include <utility>

namespace mediaproxy::accounting_sqlite
{

namespace
{

using plugin_support::Fault;
using plugin_support::SqlColumn;
using plugin_support::SqlOutcome;
using plugin_support::SqlResult;
using plugin_support::SqlValue;

Fault fault_of(int code, std::string_view message)
{
    if (code == SQLITE_CONSTRAINT_UNIQUE)
        return Fault::duplicate;
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
        return Fault::record;
    case SQLITE_ERROR:
        return message.starts_with("no such table") ? Fault::no_table : Fault::refused;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return Fault::refused;
    default:
        return Fault::unavailable;
    }
}

/// Leaves the statement ready for its next use, whatever happened.
class Reset
{
public:
    explicit Reset(sqlite3_stmt* statement) : statement_(statement) {}
    Reset(const Reset&) = delete;
    Reset& operator=(const Reset&) = delete;
    ~Reset()
    {
        sqlite3_reset(statement_);
        sqlite3_clear_bindings(statement_);
    }

private:
    sqlite3_stmt* statement_;
};

void bind(sqlite3_stmt* statement, int index, const SqlValue& value)
{
    const auto size = static_cast<sqlite3_uint64>(value.value.size());
    // The JSON is text to SQLite's functions; MediaProxy's column for it is text as well.
    if (value.kind == SqlValue::Kind::null)
        sqlite3_bind_null(statement, index);
    else
        sqlite3_bind_text64(statement, index, value.value.data(), size, SQLITE_STATIC, SQLITE_UTF8);
}

std::optional<std::string> value_of(sqlite3_stmt* statement, int column)
{
    const void* bytes = sqlite3_column_blob(statement, column);
    const int size = sqlite3_column_bytes(statement, column);
    if (sqlite3_column_type(statement, column) == SQLITE_NULL)
        return std::nullopt;
    return std::string(static_cast<const char*>(bytes), static_cast<std::size_t>(size));
}

int collect_rows(sqlite3_stmt* statement, SqlResult* result)
{
    const int columns = sqlite3_column_count(statement);
    for (int i = 0; result != nullptr && i < columns; ++i)
        result->columns.push_back({sqlite3_column_name(statement, i), 0});
    int code = sqlite3_step(statement);
    for (; code == SQLITE_ROW; code = sqlite3_step(statement)) {
        if (result == nullptr)
            continue;
        auto& row = result->rows.emplace_back();
        for (int i = 0; i < columns; ++i)
            row.push_back(value_of(statement, i));
    }
    return code;
}

} // namespace

Driver::Driver(Options options) : options_(std::move(options))
{
}

const plugin_support::SqlDialect& Driver::dialect() const
{
    return plugin_support::sqlite_dialect;
}

int Driver::on_busy(void* self, int calls) noexcept
{
    constexpr std::chrono::milliseconds pause{10};
    const auto& driver = *static_cast<const Driver*>(self);
    if (driver.cancelled_.load(std::memory_order_relaxed) ||
        calls * pause >= driver.options_.busy_timeout)
        return 0;
    std::this_thread::sleep_for(pause);
    return 1;
}

SqlOutcome Driver::failure() const
{
    const std::string message = sqlite3_errmsg(connection_.get());
    return {fault_of(sqlite3_extended_errcode(connection_.get()), message), message};
}

SqlOutcome Driver::connect()
{
    disconnect();
    sqlite3* connection = nullptr;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
    const int code = sqlite3_open_v2(options_.path.c_str(), &connection, flags, nullptr);
    connection_.reset(connection);
    if (connection == nullptr)
        return {Fault::unavailable, "out of memory"};
    if (code != SQLITE_OK)
        return failure();
    sqlite3_extended_result_codes(connection, 1);
    sqlite3_busy_handler(connection, on_busy, this);
    // WAL: readers of the table and this writer do not wait for each other. A file system without
    // shared memory keeps the journal that it can do; FULL: durable also over a power cut.
    sqlite3_exec(connection, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
    SqlOutcome outcome = run("PRAGMA synchronous = FULL", {}, nullptr);
    if (outcome.ok() && ::stat(options_.path.c_str(), &file_) != 0)
        outcome = {Fault::unavailable, "the file vanished"};
    return outcome;
}

void Driver::disconnect() noexcept
{
    statements_.clear();
    connection_.reset();
}

bool Driver::same_file() const
{
    struct stat now {
    };
    return ::stat(options_.path.c_str(), &now) == 0 && now.st_dev == file_.st_dev &&
           now.st_ino == file_.st_ino;
}

SqlOutcome Driver::begin()
{
    if (!same_file())
        return {Fault::unavailable, "the file was moved or replaced"};
    return run("BEGIN IMMEDIATE", {}, nullptr);
}

SqlOutcome Driver::commit()
{
    return run("COMMIT", {}, nullptr);
}

void Driver::rollback()
{
    sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

sqlite3_stmt* Driver::prepared(const std::string& sql)
{
    Statement& statement = statements_[sql];
    if (!statement) {
        sqlite3_stmt* made = nullptr;
        sqlite3_prepare_v3(connection_.get(), sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &made,
                           nullptr);
        statement.reset(made);
    }
    return statement.get();
}

SqlOutcome Driver::run(const std::string& sql, std::span<const SqlValue> values, SqlResult* result)
{
    sqlite3_stmt* statement = prepared(sql);
    if (statement == nullptr)
        return failure();
    const Reset reset(statement);
    for (std::size_t i = 0; i < values.size(); ++i)
        bind(statement, static_cast<int>(i) + 1, values[i]);
    return collect_rows(statement, result) == SQLITE_DONE ? SqlOutcome() : failure();
}

} // namespace mediaproxy::accounting_sqlite
