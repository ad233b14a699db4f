// SPDX-License-Identifier: GPL-2.0-or-later
#include "driver.hpp"

#include <array>
#include <chrono>
#include <utility>

#include "connection_string.hpp"
#include "statement.hpp"

namespace mediaproxy::accounting_odbc
{

using plugin_support::Fault;
using plugin_support::SqlOutcome;
using plugin_support::SqlResult;
using plugin_support::SqlValue;

namespace
{

using std::chrono::milliseconds;

/// The driver gives up first, and says so, if it can.
constexpr milliseconds grace{1000};

/// ODBC counts in seconds, and 0 is for ever.
SQLULEN in_seconds(milliseconds time)
{
    return static_cast<SQLULEN>(std::chrono::ceil<std::chrono::seconds>(time).count());
}

SQLCHAR* text(const std::string& text)
{
    return reinterpret_cast<SQLCHAR*>(const_cast<char*>(text.c_str()));
}

} // namespace

Driver::Driver(Options options)
    : options_(std::move(options)),
      dialect_(options_.dialect != nullptr ? options_.dialect : &dialect_of("")),
      sql_(dialect_->sql)
{
}

std::string Driver::place() const
{
    return place_of(options_);
}

SqlOutcome Driver::failure(SQLSMALLINT kind, SQLHANDLE handle) const
{
    const Diagnosis diagnosis = diagnose(kind, handle);
    if (watchdog_.cancelled())
        return {Fault::unavailable, "cancelled"};
    // NULL is only ever written to to_tag; any other column of the table would not have it.
    if (refuses_null(diagnosis.state, diagnosis.native, diagnosis.message, options_.names.to_tag))
        return {Fault::record, diagnosis.message};
    return {fault_of(*dialect_, diagnosis.state, diagnosis.native, diagnosis.message),
            diagnosis.message};
}

SqlOutcome Driver::connect()
{
    disconnect();
    if (watchdog_.cancelled())
        return {Fault::unavailable, "cancelled"};
    if (!environment_) {
        environment_ = Environment::make(nullptr);
        SQLSetEnvAttr(environment_.get(), SQL_ATTR_ODBC_VERSION, number(SQL_OV_ODBC3), 0);
    }
    connection_ = Connection::make(environment_.get());
    if (!connection_)
        return {Fault::unavailable, "out of memory"};
    SqlOutcome outcome = open();
    if (outcome.ok())
        outcome = set_up_session();
    if (!outcome.ok())
        disconnect();
    return outcome;
}

SqlOutcome Driver::open()
{
    SQLSetConnectAttr(connection_.get(), SQL_ATTR_LOGIN_TIMEOUT,
                      number(in_seconds(options_.server.connect_timeout)), 0);
    const std::string how = connection_string(options_);
    const SQLRETURN code = SQLDriverConnect(connection_.get(), nullptr, text(how), SQL_NTS, nullptr,
                                            0, nullptr, SQL_DRIVER_NOPROMPT);
    if (!SQL_SUCCEEDED(code)) {
        SqlOutcome outcome = failure(SQL_HANDLE_DBC, connection_.get());
        outcome.fault = Fault::unavailable;
        return outcome;
    }
    connected_ = true;
    if (options_.dialect != nullptr)
        return {};
    std::array<char, 128> name{};
    SQLSMALLINT length = 0;
    SQLGetInfo(connection_.get(), SQL_DBMS_NAME, name.data(), name.size(), &length);
    dialect_ = &dialect_of(name.data());
    sql_ = dialect_->sql;
    return {};
}

SqlOutcome Driver::set_up_session()
{
    // Each statement begins a transaction, unless one has begun; run() ends it.
    if (!SQL_SUCCEEDED(SQLSetConnectAttr(connection_.get(), SQL_ATTR_AUTOCOMMIT,
                                         number(SQL_AUTOCOMMIT_OFF), 0)))
        return failure(SQL_HANDLE_DBC, connection_.get());
    const std::string session =
        session_of(*dialect_, in_seconds(options_.server.statement_timeout));
    return session.empty() ? SqlOutcome() : run(session, {}, nullptr);
}

void Driver::disconnect() noexcept
{
    in_transaction_ = false;
    if (std::exchange(connected_, false)) {
        SQLEndTran(SQL_HANDLE_DBC, connection_.get(), SQL_ROLLBACK);
        SQLDisconnect(connection_.get());
    }
    connection_.reset();
}

SqlOutcome Driver::begin()
{
    in_transaction_ = true;
    return {};
}

SqlOutcome Driver::commit()
{
    in_transaction_ = false;
    return end_transaction(SQL_COMMIT);
}

void Driver::rollback()
{
    in_transaction_ = false;
    if (connected_ && !end_transaction(SQL_ROLLBACK).ok())
        disconnect();
}

SqlOutcome Driver::end_transaction(SQLSMALLINT how)
{
    if (!connected_)
        return {Fault::unavailable, "not connected"};
    if (SQL_SUCCEEDED(SQLEndTran(SQL_HANDLE_DBC, connection_.get(), how)))
        return {};
    return failure(SQL_HANDLE_DBC, connection_.get());
}

SqlOutcome Driver::execute(const std::string& sql, std::span<const SqlValue> values,
                           SqlResult* result)
{
    const Statement statement = Statement::make(connection_.get());
    if (!statement)
        return failure(SQL_HANDLE_DBC, connection_.get());
    // Not every driver has it; the watchdog is for those.
    SQLSetStmtAttr(statement.get(), SQL_ATTR_QUERY_TIMEOUT,
                   number(in_seconds(options_.server.statement_timeout)), 0);
    Parameters parameters(*dialect_);
    if (!parameters.bind(statement.get(), values))
        return failure(SQL_HANDLE_STMT, statement.get());
    const Watchdog::Watch watch(watchdog_, statement.get(),
                                Watchdog::Clock::now() + options_.server.statement_timeout + grace);
    const SQLRETURN code = SQLExecDirect(statement.get(), text(sql), SQL_NTS);
    // No data: so says a statement that changed no row.
    if (!SQL_SUCCEEDED(code) && code != SQL_NO_DATA)
        return failure(SQL_HANDLE_STMT, statement.get());
    if (result != nullptr && !fetch(statement.get(), dialect_->text, *result))
        return failure(SQL_HANDLE_STMT, statement.get());
    return {};
}

SqlOutcome Driver::run(const std::string& sql, std::span<const SqlValue> values, SqlResult* result)
{
    if (!connected_)
        return {Fault::unavailable, "not connected"};
    if (watchdog_.cancelled())
        return {Fault::unavailable, "cancelled"};
    SqlOutcome outcome = execute(sql, values, result);
    if (in_transaction_)
        return outcome;
    SqlOutcome ended = end_transaction(outcome.ok() ? SQL_COMMIT : SQL_ROLLBACK);
    return outcome.ok() ? ended : outcome;
}

} // namespace mediaproxy::accounting_odbc
