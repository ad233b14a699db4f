// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "accounting_odbc/dialects.hpp"

using namespace mediaproxy::accounting_odbc;
using Catch::Matchers::Contains;
using mediaproxy::plugin_support::Fault;
using mediaproxy::plugin_support::SqlText;

namespace
{

std::string definition(std::string_view dialect)
{
    return SqlText({}, find_dialect(dialect)->sql).definition().front();
}

} // namespace

TEST_CASE("a database's own name tells its dialect")
{
    const std::pair<const char*, const char*> names[] = {
        {"PostgreSQL", "postgres"},
        {"MariaDB", "mariadb"},
        {"MySQL", "mysql"},
        {"SQLite", "sqlite"},
        {"Microsoft SQL Server", "mssql"},
        {"SQL Server", "mssql"},
        {"Adaptive Server Enterprise", "sybase"},
        {"SAP DB", "maxdb"},
        {"Oracle", "oracle"},
        {"DB2/LINUXX8664", "db2"},
        {"Firebird 3.0", "firebird"},
        {"Somebody's", "sql"},
        {"", "sql"},
    };
    for (const auto& [name, dialect] : names) {
        INFO(name);
        CHECK(dialect_of(name).name == dialect);
    }
    CHECK(find_dialect("nobody's") == nullptr);
}

TEST_CASE("values are question marks in every dialect of ODBC")
{
    for (const char* name : {"postgres", "mariadb", "mssql", "sql"})
        CHECK_THAT(SqlText({}, find_dialect(name)->sql)
                       .insert(mediaproxy::plugin_support::Layout::ours, 1),
                   Contains("VALUES (?, ?, ?, ?, ?)"));
}

TEST_CASE("the table is defined with each database's own types and quotes")
{
    CHECK(definition("mssql") ==
          "CREATE TABLE [media_sessions] ([id] BIGINT IDENTITY(1,1) PRIMARY KEY, [call_id] "
          "NVARCHAR(255) NOT NULL, [from_tag] NVARCHAR(64) NOT NULL, [to_tag] NVARCHAR(64), "
          "[info] VARBINARY(MAX), [record_id] NVARCHAR(64) UNIQUE)");
    CHECK_THAT(definition("sybase"), Contains("[to_tag] VARCHAR(64) NULL, [info] IMAGE"));
    CHECK_THAT(definition("maxdb"), Contains("\"info\" LONG BYTE"));
    CHECK_THAT(definition("postgres"), Contains("IF NOT EXISTS") && Contains("BYTEA"));
}

TEST_CASE("a value that the database has no place for, or a trigger refuses, is the record's fault")
{
    for (const int collations : {1267, 1270, 1271}) {
        CHECK(fault_of(*find_dialect("mariadb"), "HY000", collations, "") == Fault::record);
        CHECK(fault_of(*find_dialect("mysql"), "HY000", collations, "") == Fault::record);
    }
    for (const int codes : {3854, 3988, 3819})
        CHECK(fault_of(*find_dialect("mysql"), "HY000", codes, "") == Fault::record);
    CHECK(fault_of(*find_dialect("mariadb"), "45000", 1644, "") == Fault::record);
    CHECK(fault_of(*find_dialect("mariadb"), "HY000", 1644, "") == Fault::record);
    CHECK(fault_of(*find_dialect("mssql"), "42000", 50001, "") == Fault::record);
    CHECK(fault_of(*find_dialect("mssql"), "42000", 3609, "") == Fault::record);
    CHECK(fault_of(*find_dialect("sybase"), "ZZZZZ", 20001, "") == Fault::record);
    CHECK(fault_of(*find_dialect("oracle"), "HY000", 20999, "") == Fault::record);
    CHECK(fault_of(*find_dialect("oracle"), "HY000", 21000, "") == Fault::unavailable);
    for (const char* state : {"P0001", "21000", "38000", "39P01", "44000"})
        CHECK(fault_of(*find_dialect("postgres"), state, 1, "") == Fault::record);
}

TEST_CASE("NULL is refused by the name of its column")
{
    struct Case {
        const char* state;
        int native;
        const char* message;
    };
    const Case cases[] = {
        {"23502", 1, "ERROR: null value in column \"to_tag\" of relation \"media_sessions\""},
        {"23000", 515, "Cannot insert the value NULL into column 'to_tag', table 'a.dbo.m'"},
        {"23000", 233, "The column to_tag in table media_sessions does not allow null values."},
        {"23000", 1400, "ORA-01400: cannot insert NULL into (\"A\".\"MEDIA_SESSIONS\".\"TO_TAG\")"},
    };
    for (const Case& c : cases) {
        INFO(c.message);
        CHECK(refuses_null(c.state, c.native, c.message, "to_tag"));
        CHECK_FALSE(refuses_null(c.state, c.native, c.message, "rate"));
        CHECK_FALSE(refuses_null("23000", 1, c.message, "to_tag"));
    }
}

TEST_CASE("MariaDB and MySQL are to refuse what they would else change and warn of")
{
    for (const char* name : {"mariadb", "mysql"})
        CHECK_THAT(session_of(*find_dialect(name), 7),
                   Contains("STRICT_ALL_TABLES") && Contains("lock_wait_timeout = 7"));
    CHECK_THAT(session_of(*find_dialect("mariadb"), 7), Contains("max_statement_time = 7"));
    CHECK(session_of(*find_dialect("postgres"), 7).empty());
}

TEST_CASE("the database's number goes over SQLSTATE, and what nobody knows passes by itself")
{
    const auto fault = [](const char* dialect, const char* state, int native,
                          const char* message = "") {
        return fault_of(*find_dialect(dialect), state, native, message);
    };
    CHECK(fault("mariadb", "23000", 1062) == Fault::duplicate);
    CHECK(fault("mariadb", "23000", 1048) == Fault::record);
    CHECK(fault("mariadb", "HY000", 1364) == Fault::refused);
    CHECK(fault("mariadb", "HY000", 1290) == Fault::refused);
    CHECK(fault("mariadb", "42S02", 1146) == Fault::no_table);
    CHECK(fault("postgres", "23505", 1) == Fault::duplicate);
    CHECK(fault("postgres", "42P01", 1) == Fault::no_table);
    CHECK(fault("postgres", "25006", 1) == Fault::refused);
    CHECK(fault("sqlite", "HY000", 1, "[SQLite]no such table: x (1)") == Fault::no_table);
    CHECK(fault("sqlite", "HY000", 1, "[SQLite]no such column: x (1)") == Fault::refused);
    CHECK(fault("sqlite", "HY000", 5) == Fault::unavailable);
    CHECK(fault("mssql", "23000", 2627) == Fault::duplicate);
    CHECK(fault("mssql", "22001", 8152) == Fault::record);
    CHECK(fault("oracle", "HY000", 1) == Fault::duplicate);
    CHECK(fault("maxdb", "42000", -4004) == Fault::no_table);
    CHECK(fault("sql", "08S01", 0) == Fault::unavailable);
    CHECK(fault("sql", "HYT00", 0) == Fault::unavailable);
}
