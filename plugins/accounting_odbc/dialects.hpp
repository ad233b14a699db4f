// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <sql.h>

#include "support/sql_dialect.hpp"
#include "support/sql_driver.hpp"

namespace mediaproxy::accounting_odbc
{

/// How text goes to the driver and comes from it.
enum class TextForm {
    utf8,  ///< as SQL_C_CHAR, for drivers that take it so whatever the locale
    utf16, ///< as SQL_C_WCHAR
};

/// In what the databases behind ODBC differ, all of it.
struct Dialect {
    std::string_view name;      ///< of the setting `dialect`, and of the scheme of a dburi
    std::string_view dbms_name; ///< how SQL_DBMS_NAME begins, in lower case
    plugin_support::SqlDialect sql;
    TextForm text;
    SQLSMALLINT bytes;       ///< the type by which `info` is bound
    std::string_view driver; ///< of a dburi that names none
    /// Words of a connection string for the host and the database; without a `port` it stands
    /// behind the host and a colon.
    std::string_view server_word, port_word, database_word;
    /// Run after connecting, each `%` being the statement timeout in seconds; "" where there is
    /// nothing to say, and SQL_ATTR_QUERY_TIMEOUT is kept.
    std::string_view session;
    /// What the database's own error numbers mean, where SQLSTATE does not tell.
    std::span<const std::pair<int, plugin_support::Fault>> faults;
};

/// The dialect with this name; null when there is none.
const Dialect* find_dialect(std::string_view name);

/// The names of all.
std::string dialect_names();

/// The dialect of a database that calls itself so; the one of the SQL standard when nobody knows.
const Dialect& dialect_of(std::string_view dbms_name);

/// What a session begins with, "" for nothing.
std::string session_of(const Dialect& dialect, unsigned long seconds);

/// The server refuses NULL in that column; which the codes for it do not say.
bool refuses_null(std::string_view state, int native, std::string_view message,
                  std::string_view column);

/// Whose fault it is that a statement failed.
plugin_support::Fault fault_of(const Dialect& dialect, std::string_view state, int native,
                               std::string_view message);

} // namespace mediaproxy::accounting_odbc
