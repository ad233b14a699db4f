// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string_view>

#include "connection.hpp"
#include "options.hpp"
#include "support/sql_driver.hpp"

namespace mediaproxy::accounting_postgres
{

/// Whose fault it is that the server answered with this SQLSTATE.
plugin_support::Fault to_fault(std::string_view state);

/// What libpq is told about the server.
std::vector<Connection::Setting> connection_settings(const Options& options);

class Driver : public plugin_support::SqlDriver
{
public:
    explicit Driver(Options options);

    std::string place() const override;
    const plugin_support::SqlDialect& dialect() const override;
    plugin_support::SqlOutcome connect() override;
    void disconnect() noexcept override;
    plugin_support::SqlOutcome begin() override;
    plugin_support::SqlOutcome commit() override;
    void rollback() override;
    plugin_support::SqlOutcome run(const std::string& sql,
                                   std::span<const plugin_support::SqlValue> values,
                                   plugin_support::SqlResult* result) override;
    void cancel() noexcept override;

private:
    /// A transaction begins with its first statement, which saves a round trip.
    enum class Transaction { none, wanted, begun };

    plugin_support::SqlOutcome send(std::vector<Statement> statements,
                                    std::vector<Result>& results);

    Options options_;
    Connection connection_;
    Transaction transaction_ = Transaction::none;
};

} // namespace mediaproxy::accounting_postgres
