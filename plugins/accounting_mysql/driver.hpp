// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <string>

#include "connection.hpp"
#include "options.hpp"
#include "support/sql_driver.hpp"

namespace mediaproxy::accounting_mysql
{

/// One connection to a MariaDB or MySQL server.
class Driver : public plugin_support::SqlDriver
{
public:
    Driver(plugin_support::ServerOptions options, TlsOptions tls);

    std::string place() const override;
    const plugin_support::SqlDialect& dialect() const override;
    plugin_support::SqlOutcome connect() override;
    void disconnect() noexcept override { connection_.close(); }
    /// Connects again when the server has closed the connection.
    plugin_support::SqlOutcome begin() override;
    plugin_support::SqlOutcome commit() override;
    void rollback() override;
    plugin_support::SqlOutcome run(const std::string& sql,
                                   std::span<const plugin_support::SqlValue> values,
                                   plugin_support::SqlResult* result) override;
    void cancel() noexcept override { connection_.cancel(); }

private:
    void set_options(MYSQL* mysql) const;
    plugin_support::SqlOutcome set_session();
    /// The statement with the values in place of its question marks.
    std::string fill(const std::string& sql,
                     std::span<const plugin_support::SqlValue> values) const;
    void append(std::string& sql, const plugin_support::SqlValue& value) const;

    const plugin_support::ServerOptions options_;
    const TlsOptions tls_;
    Connection connection_;
    bool usable_ = false;        ///< the server answered to the last statement
    std::size_t most_bytes_ = 0; ///< that the server takes in one statement
};

} // namespace mediaproxy::accounting_mysql
