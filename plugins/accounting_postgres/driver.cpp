// SPDX-License-Identifier: GPL-2.0-or-later
#include "driver.hpp"

#include <new>
#include <utility>

namespace mediaproxy::accounting_postgres
{

using plugin_support::Fault;
using plugin_support::SqlColumn;
using plugin_support::SqlOutcome;
using plugin_support::SqlResult;
using plugin_support::SqlValue;

namespace
{

// Types by their object ids, which are the same in every server (pg_type.dat).
constexpr Oid type_bytea = 17, type_bpchar = 1042, type_varchar = 1043;
constexpr std::string_view not_null_violation = "23502";
// The server gives up first, and says so; this much later it is not there any more.
constexpr std::chrono::milliseconds grace{2000};

/// The size of varchar(size), as its type modifier has it: with 4 bytes for a length.
std::size_t characters(const PGresult* result, int column)
{
    const Oid type = PQftype(result, column);
    const int modifier = PQfmod(result, column);
    constexpr int header = 4;
    return (type == type_varchar || type == type_bpchar) && modifier > header
               ? static_cast<std::size_t>(modifier - header)
               : 0;
}

std::optional<std::string> value_of(const PGresult* result, int row, int column)
{
    if (PQgetisnull(result, row, column) != 0)
        return std::nullopt;
    const char* text = PQgetvalue(result, row, column);
    if (PQftype(result, column) != type_bytea)
        return std::string(text, static_cast<std::size_t>(PQgetlength(result, row, column)));
    std::size_t size = 0;
    const std::unique_ptr<unsigned char, decltype(&PQfreemem)> bytes(
        PQunescapeBytea(reinterpret_cast<const unsigned char*>(text), &size), &PQfreemem);
    if (!bytes)
        throw std::bad_alloc();
    return std::string(reinterpret_cast<const char*>(bytes.get()), size);
}

void read(const PGresult* from, SqlResult& to)
{
    to = {};
    const int columns = PQnfields(from);
    for (int column = 0; column < columns; ++column)
        to.columns.push_back({PQfname(from, column), characters(from, column)});
    for (int row = 0; row < PQntuples(from); ++row) {
        auto& values = to.rows.emplace_back();
        for (int column = 0; column < columns; ++column)
            values.push_back(value_of(from, row, column));
    }
}

} // namespace

Fault to_fault(std::string_view state)
{
    // A whole SQLSTATE, or its class: Appendix A of PostgreSQL's manual. What is not here passes.
    static constexpr std::pair<std::string_view, Fault> faults[] = {
        {"23505", Fault::duplicate},          // unique_violation
        {not_null_violation, Fault::refused}, // of a column that is not ours
        {"42P01", Fault::no_table},           // undefined_table
        {"22", Fault::record},                // data exception: too long, no such character
        {"23", Fault::record},                // other constraints
        {"P0", Fault::record},                // a trigger of the operator's says no (PL/pgSQL)
        {"21", Fault::record},                // so do these: cardinality
        {"38", Fault::record},                // a function of another language
        {"39", Fault::record},                // a trigger that breaks its protocol
        {"54", Fault::record},                // a limit of the server: too large for an index
        {"0A", Fault::refused},               // feature not supported
        {"25", Fault::refused},               // transaction state: read-only
        {"28", Fault::refused},               // authorization
        {"3D", Fault::refused},               // no such database
        {"3F", Fault::refused},               // no such schema
        {"42", Fault::refused},               // access rule, or no such column
        {"44", Fault::record},                // WITH CHECK OPTION of a view
    };
    for (const auto& [prefix, fault] : faults) {
        if (state.starts_with(prefix))
            return fault;
    }
    return Fault::unavailable;
}

std::vector<Connection::Setting> connection_settings(const Options& options)
{
    const auto& address = options.server.address;
    std::vector<Connection::Setting> settings{
        {"host", address.host},
        {"port", address.port == 0 ? "" : std::to_string(address.port)},
        {"user", address.user},
        {"password", address.password},
        {"dbname", address.database},
        {"client_encoding", "UTF8"},
        {"fallback_application_name", "mediaproxyd"},
        // A standby answers too, but takes no record.
        {"target_session_attrs", "read-write"},
    };
    for (const auto& [key, value] : options.tls)
        settings.push_back({key, value});
    return settings;
}

Driver::Driver(Options options) : options_(std::move(options))
{
}

std::string Driver::place() const
{
    const auto& address = options_.server.address;
    return "postgres://" + address.host +
           (address.port == 0 ? "" : ":" + std::to_string(address.port)) + "/" + address.database;
}

const plugin_support::SqlDialect& Driver::dialect() const
{
    return plugin_support::postgres_dialect;
}

SqlOutcome Driver::connect()
{
    disconnect();
    const Failure failure =
        connection_.open(connection_settings(options_), options_.server.connect_timeout);
    if (failure.any())
        return {Fault::unavailable, failure.message};
    // Not among the connection's own options, which poolers such as PgBouncer refuse.
    const std::string limit = std::to_string(options_.server.statement_timeout.count());
    std::vector<Result> results;
    return send({{"SET statement_timeout = " + limit, {}}}, results);
}

void Driver::disconnect() noexcept
{
    connection_.close();
    transaction_ = Transaction::none;
}

SqlOutcome Driver::send(std::vector<Statement> statements, std::vector<Result>& results)
{
    const Failure failure =
        connection_.run(statements, results, options_.server.statement_timeout + grace);
    if (!failure.any())
        return {};
    if (!connection_.is_open())
        return {Fault::unavailable, failure.message};
    // The only column in which we ever write NULL.
    const bool without_to_tag =
        failure.state == not_null_violation && failure.column == options_.names.to_tag;
    return {without_to_tag ? Fault::record : to_fault(failure.state), failure.message};
}

SqlOutcome Driver::begin()
{
    transaction_ = Transaction::wanted;
    return {};
}

SqlOutcome Driver::commit()
{
    if (std::exchange(transaction_, Transaction::none) != Transaction::begun)
        return {};
    std::vector<Result> results;
    SqlOutcome outcome = send({{"COMMIT", {}}}, results);
    // So the server answers when the transaction had failed.
    if (outcome.ok() && PQcmdStatus(results.front().get()) != std::string_view("COMMIT"))
        outcome = {Fault::unavailable, "the transaction was rolled back"};
    return outcome;
}

void Driver::rollback()
{
    std::vector<Result> results;
    if (std::exchange(transaction_, Transaction::none) == Transaction::begun &&
        !send({{"ROLLBACK", {}}}, results).ok())
        connection_.close();
}

SqlOutcome Driver::run(const std::string& sql, std::span<const SqlValue> values, SqlResult* result)
{
    std::vector<Statement> statements;
    if (transaction_ == Transaction::wanted)
        statements.push_back({"BEGIN", {}});
    Statement& statement = statements.emplace_back(Statement{sql, {}});
    for (const SqlValue& value : values)
        statement.values.push_back(value.kind == SqlValue::Kind::null ? std::string_view()
                                   : value.value.data() == nullptr    ? std::string_view("")
                                                                      : value.value);
    const std::size_t count = statements.size();
    std::vector<Result> results;
    SqlOutcome outcome = send(std::move(statements), results);
    if (count > 1 && !results.empty())
        transaction_ = Transaction::begun;
    if (outcome.ok() && results.size() != count)
        return {Fault::unavailable, "an answer is missing"};
    if (outcome.ok() && result != nullptr)
        read(results.back().get(), *result);
    return outcome;
}

void Driver::cancel() noexcept
{
    connection_.cancel();
}

} // namespace mediaproxy::accounting_postgres
