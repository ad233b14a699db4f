// SPDX-License-Identifier: GPL-2.0-or-later
#include "driver.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace mediaproxy::accounting_mysql
{

namespace
{

using plugin_support::Fault;
using plugin_support::SqlOutcome;
using plugin_support::SqlResult;
using plugin_support::SqlValue;

constexpr std::size_t packet_header =
    64; // a statement's packet is a little longer than the statement

const char* null_if_empty(const std::string& text)
{
    return text.empty() ? nullptr : text.c_str();
}

bool is_socket(const plugin_support::DatabaseAddress& address)
{
    return address.host.starts_with('/');
}

} // namespace

Driver::Driver(plugin_support::ServerOptions options, TlsOptions tls)
    : options_(std::move(options)), tls_(std::move(tls))
{
}

std::string Driver::place() const
{
    const plugin_support::DatabaseAddress& address = options_.address;
    std::string place = "mysql://";
    if (address.host.find(':') != std::string::npos)
        place += "[" + address.host + "]";
    else
        place += address.host.empty() ? "localhost" : address.host;
    if (address.port != 0)
        place += ":" + std::to_string(address.port);
    return place + "/" + address.database;
}

const plugin_support::SqlDialect& Driver::dialect() const
{
    return plugin_support::mysql_dialect;
}

void Driver::set_options(MYSQL* mysql) const
{
    mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    // The server has no business with our files.
    const unsigned no = 0;
    mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &no);
    // Without a port libmariadb takes "localhost" for the server's socket, as MySQL always did.
    if (!is_socket(options_.address) && options_.address.port != 0) {
        const unsigned protocol = MYSQL_PROTOCOL_TCP;
        mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
    }
    if (tls_.mode() == Tls::off)
        return;
    mysql_ssl_set(mysql, null_if_empty(tls_.key), null_if_empty(tls_.cert), null_if_empty(tls_.ca),
                  nullptr, nullptr);
    const my_bool enforced = 1, verified = tls_.mode() == Tls::verify ? 1 : 0;
    mysql_options(mysql, MYSQL_OPT_SSL_ENFORCE, &enforced);
    mysql_options(mysql, MYSQL_OPT_SSL_VERIFY_SERVER_CERT, &verified);
}

SqlOutcome Driver::connect()
{
    usable_ = false;
    MYSQL* mysql = connection_.renew();
    if (mysql == nullptr)
        return {Fault::unavailable, "out of memory"};
    set_options(mysql);
    const plugin_support::DatabaseAddress& address = options_.address;
    const bool socket = is_socket(address);
    SqlOutcome outcome = connection_.open(
        socket ? nullptr : null_if_empty(address.host), null_if_empty(address.user),
        null_if_empty(address.password), address.database.c_str(), address.port,
        socket ? address.host.c_str() : nullptr, options_.connect_timeout);
    usable_ = outcome.ok();
    return outcome.ok() ? set_session() : outcome;
}

SqlOutcome Driver::set_session()
{
    const auto time = options_.statement_timeout;
    const auto seconds = std::to_string(std::chrono::ceil<std::chrono::seconds>(time).count());
    // What cannot be stored as it is must be an error; and who waits for a lock shall not do so
    // when we have given up already.
    SqlOutcome outcome = run("SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
                             "innodb_lock_wait_timeout = " +
                                 seconds + ", lock_wait_timeout = " + seconds,
                             {}, nullptr);
    // MySQL, unlike MariaDB, has no such limit for an INSERT.
    if (outcome.ok() && mariadb_connection(connection_.handle()) != 0)
        outcome = run("SET SESSION max_statement_time = " +
                          std::to_string(static_cast<double>(time.count()) / 1000),
                      {}, nullptr);
    SqlResult limit;
    if (outcome.ok())
        outcome = run("SELECT @@max_allowed_packet", {}, &limit);
    if (!outcome.ok())
        return outcome;
    const std::string text = limit.rows.at(0).at(0).value_or("");
    std::from_chars(text.data(), text.data() + text.size(), most_bytes_);
    most_bytes_ -= std::min(most_bytes_, packet_header);
    return {};
}

SqlOutcome Driver::begin()
{
    SqlOutcome outcome = run("START TRANSACTION", {}, nullptr);
    // Nothing was asked of a server that closed an idle connection: no reason to trouble anybody.
    if (outcome.ok() || !connection_.was_closed())
        return outcome;
    outcome = connect();
    return outcome.ok() ? run("START TRANSACTION", {}, nullptr) : outcome;
}

SqlOutcome Driver::commit()
{
    return run("COMMIT", {}, nullptr);
}

void Driver::rollback()
{
    if (usable_)
        run("ROLLBACK", {}, nullptr);
}

void Driver::append(std::string& sql, const SqlValue& value) const
{
    if (value.kind == SqlValue::Kind::null) {
        sql += "NULL";
        return;
    }
    sql += value.kind == SqlValue::Kind::bytes ? "_binary'" : "'";
    const std::size_t start = sql.size();
    sql.resize(start + 2 * value.value.size() + 1);
    const unsigned long length = mysql_real_escape_string(connection_.handle(), sql.data() + start,
                                                          value.value.data(), value.value.size());
    sql.resize(start + length);
    sql += '\'';
}

std::string Driver::fill(const std::string& sql, std::span<const SqlValue> values) const
{
    std::string filled;
    std::size_t from = 0;
    for (const SqlValue& value : values) {
        const std::size_t mark = sql.find('?', from);
        filled.append(sql, from, mark - from);
        append(filled, value);
        from = mark + 1;
    }
    return filled.append(sql, from);
}

SqlOutcome Driver::run(const std::string& sql, std::span<const SqlValue> values, SqlResult* result)
{
    if (!usable_)
        return {Fault::unavailable, "not connected"};
    const std::string filled = fill(sql, values);
    if (most_bytes_ != 0 && filled.size() > most_bytes_)
        return {Fault::record, std::to_string(filled.size()) +
                                   " bytes are more than the server's max_allowed_packet"};
    SqlOutcome outcome = connection_.query(filled, result, options_.statement_timeout);
    usable_ = outcome.fault != Fault::unavailable;
    return outcome;
}

} // namespace mediaproxy::accounting_mysql
