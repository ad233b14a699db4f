// SPDX-License-Identifier: GPL-2.0-or-later
#include "fault.hpp"

#include <algorithm>
#include <iterator>

#include <errmsg.h>
#include <mysqld_error.h>

namespace mediaproxy::accounting_mysql
{

namespace
{

using plugin_support::Fault;

/// The values', though their SQLSTATE does not say so.
constexpr unsigned of_values[] = {
    ER_DATA_TOO_LONG,
    ER_TRUNCATED_WRONG_VALUE_FOR_FIELD,
    ER_WARN_DATA_OUT_OF_RANGE,
    WARN_DATA_TRUNCATED,
    ER_CANT_AGGREGATE_2COLLATIONS, // characters that the column's character set has not
    ER_CANT_AGGREGATE_3COLLATIONS,
    ER_CANT_AGGREGATE_NCOLLATIONS,
    3854,                // the same, of MySQL 8
    3988,                // and this one
    ER_SIGNAL_EXCEPTION, // a trigger of the operator's says no
    3819,                // so does a CHECK of MySQL
};

/// What passes by itself.
constexpr unsigned passing[] = {
    ER_CON_COUNT_ERROR,
    ER_OUT_OF_RESOURCES,
    ER_OUTOFMEMORY,
    ER_OUT_OF_SORTMEMORY,
    ER_SERVER_SHUTDOWN,
    ER_NORMAL_SHUTDOWN,
    ER_DISK_FULL,
    ER_RECORD_FILE_FULL,
    ER_ERROR_ON_WRITE,
    ER_ERROR_ON_READ,
    ER_GET_ERRNO,
    ER_ERROR_DURING_COMMIT,
    ER_LOCK_WAIT_TIMEOUT,
    ER_LOCK_DEADLOCK,
    ER_LOCK_TABLE_FULL,
    ER_QUERY_INTERRUPTED,
    ER_CONNECTION_KILLED,
    ER_STATEMENT_TIMEOUT,
    ER_TOO_MANY_USER_CONNECTIONS,
    ER_USER_LIMIT_REACHED,
};

template <std::size_t size>
bool contains(const unsigned (&codes)[size], unsigned code)
{
    return std::find(std::begin(codes), std::end(codes), code) != std::end(codes);
}

bool is_of_client(unsigned code)
{
    return (code >= CR_MIN_ERROR && code <= CR_MAX_ERROR) ||
           (code >= CER_MIN_ERROR && code <= CER_MAX_ERROR);
}

} // namespace

Fault fault_of(unsigned code, std::string_view sqlstate) noexcept
{
    if (code == ER_DUP_ENTRY || code == ER_DUP_ENTRY_WITH_KEY_NAME)
        return Fault::duplicate;
    if (code == ER_NO_SUCH_TABLE)
        return Fault::no_table;
    if (is_of_client(code) || contains(passing, code) || sqlstate.starts_with("08"))
        return Fault::unavailable;
    // The value is wrong, a constraint says no, so does a view; a trigger of the operator's breaks.
    const auto is_of_record = [&](std::string_view prefix) { return sqlstate.starts_with(prefix); };
    constexpr std::string_view of_record[] = {"22", "23", "44", "21", "45000"};
    if (contains(of_values, code) ||
        std::any_of(std::begin(of_record), std::end(of_record), is_of_record))
        return Fault::record;
    return Fault::refused;
}

} // namespace mediaproxy::accounting_mysql
