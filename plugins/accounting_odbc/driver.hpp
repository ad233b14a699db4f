// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "handle.hpp"
#include "options.hpp"
#include "support/sql_driver.hpp"
#include "watchdog.hpp"

namespace mediaproxy::accounting_odbc
{

/// One connection through unixODBC's driver manager.
class Driver : public plugin_support::SqlDriver
{
public:
    explicit Driver(Options options);
    ~Driver() override { disconnect(); }
    Driver(const Driver&) = delete;
    Driver& operator=(const Driver&) = delete;

    std::string place() const override;
    /// Of the database that was connected to last.
    const plugin_support::SqlDialect& dialect() const override { return sql_; }
    plugin_support::SqlOutcome connect() override;
    void disconnect() noexcept override;
    plugin_support::SqlOutcome begin() override;
    plugin_support::SqlOutcome commit() override;
    void rollback() override;
    plugin_support::SqlOutcome run(const std::string& sql,
                                   std::span<const plugin_support::SqlValue> values,
                                   plugin_support::SqlResult* result) override;
    void cancel() noexcept override { watchdog_.cancel(); }

private:
    plugin_support::SqlOutcome open();
    plugin_support::SqlOutcome set_up_session();
    plugin_support::SqlOutcome execute(const std::string& sql,
                                       std::span<const plugin_support::SqlValue> values,
                                       plugin_support::SqlResult* result);
    plugin_support::SqlOutcome end_transaction(SQLSMALLINT how);
    plugin_support::SqlOutcome failure(SQLSMALLINT kind, SQLHANDLE handle) const;

    const Options options_;
    const Dialect* dialect_;
    plugin_support::SqlDialect sql_; ///< the dialect's; others hold a reference to it
    Environment environment_;
    Connection connection_;
    bool connected_ = false;
    bool in_transaction_ = false;
    Watchdog watchdog_;
};

} // namespace mediaproxy::accounting_odbc
