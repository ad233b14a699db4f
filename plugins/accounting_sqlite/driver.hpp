// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>

#include <sqlite3.h>
#include <sys/stat.h>

#include "options.hpp"
#include "support/sql_driver.hpp"

namespace mediaproxy::accounting_sqlite
{

struct CloseDatabase {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
};
using Connection = std::unique_ptr<sqlite3, CloseDatabase>;

struct FinishStatement {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, FinishStatement>;

/// One SQLite file.
class Driver : public plugin_support::SqlDriver
{
public:
    explicit Driver(Options options);

    std::string place() const override { return options_.path; }
    const plugin_support::SqlDialect& dialect() const override;
    plugin_support::SqlOutcome connect() override;
    void disconnect() noexcept override;
    /// Also when the file was moved or replaced since connect(): Fault::unavailable.
    plugin_support::SqlOutcome begin() override;
    plugin_support::SqlOutcome commit() override;
    void rollback() override;
    plugin_support::SqlOutcome run(const std::string& sql,
                                   std::span<const plugin_support::SqlValue> values,
                                   plugin_support::SqlResult* result) override;
    void cancel() noexcept override { cancelled_.store(true, std::memory_order_relaxed); }

private:
    static int on_busy(void* self, int calls) noexcept;
    plugin_support::SqlOutcome failure() const;
    bool same_file() const;
    /// Null when SQLite does not take it.
    sqlite3_stmt* prepared(const std::string& sql);

    const Options options_;
    std::atomic<bool> cancelled_{false};
    Connection connection_;
    std::map<std::string, Statement> statements_;
    struct stat file_ {
    };
};

} // namespace mediaproxy::accounting_sqlite
