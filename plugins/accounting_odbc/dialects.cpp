// SPDX-License-Identifier: GPL-2.0-or-later
#include "dialects.hpp"

#include <algorithm>
#include <array>

#include <sqlext.h>

namespace mediaproxy::accounting_odbc
{

namespace
{

using plugin_support::Fault;
using plugin_support::SqlDialect;
using Meaning = std::pair<int, Fault>;

constexpr std::array mysql_faults{
    Meaning{1048, Fault::record},      // column cannot be null: to_tag, the only one that we let be
    Meaning{1364, Fault::refused},     // column has no default value: one that is not ours
    Meaning{1290, Fault::refused},     // --read-only
    Meaning{1205, Fault::unavailable}, // lock wait timeout
    Meaning{1213, Fault::unavailable}, // deadlock
    Meaning{1366, Fault::record},      // no such character there
    Meaning{1267, Fault::record},      // the same, of two collations
    Meaning{1270, Fault::record},      // of three
    Meaning{1271, Fault::record},      // of more
    Meaning{3854, Fault::record},      // the same, of MySQL 8
    Meaning{3988, Fault::record},      // of a value that was bound
    Meaning{1644, Fault::record},      // a trigger of the operator's says no
    Meaning{3819, Fault::record},      // so does a CHECK of MySQL
};

// What cannot be stored as it is must be an error; and who waits for a lock shall not do so when we
// have given up already.
constexpr std::string_view mysql_session =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
    "innodb_lock_wait_timeout = %, lock_wait_timeout = %";
constexpr std::string_view mariadb_session =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
    "innodb_lock_wait_timeout = %, lock_wait_timeout = %, max_statement_time = %";

// SQLite's result codes; its driver knows no SQLSTATE but HY000.
constexpr std::array sqlite_faults{
    Meaning{5, Fault::unavailable}, // SQLITE_BUSY
    Meaning{8, Fault::refused},     // SQLITE_READONLY
    Meaning{18, Fault::record},     // SQLITE_TOOBIG
    Meaning{19, Fault::duplicate},  // SQLITE_CONSTRAINT
};

// Transact-SQL, of which both have the numbers.
constexpr std::array transact_faults{
    Meaning{208, Fault::no_table},     // invalid object name
    Meaning{2601, Fault::duplicate},   // duplicate key, unique index
    Meaning{2627, Fault::duplicate},   // duplicate key, constraint
    Meaning{515, Fault::refused},      // column cannot be null
    Meaning{233, Fault::refused},      // the same in Adaptive Server
    Meaning{229, Fault::refused},      // permission denied
    Meaning{262, Fault::refused},      // CREATE TABLE permission denied
    Meaning{3906, Fault::refused},     // the database is read-only
    Meaning{1205, Fault::unavailable}, // deadlock
    Meaning{8152, Fault::record},      // would be truncated
    Meaning{2628, Fault::record},      // would be truncated
    Meaning{3609, Fault::record},      // a trigger of the operator's has ended the transaction
};

constexpr std::array maxdb_faults{
    Meaning{200, Fault::duplicate},  // duplicate key
    Meaning{250, Fault::duplicate},  // duplicate secondary key
    Meaning{-4004, Fault::no_table}, // unknown table name
};

constexpr std::array oracle_faults{
    Meaning{1, Fault::duplicate},   // unique constraint violated
    Meaning{942, Fault::no_table},  // table or view does not exist
    Meaning{1400, Fault::refused},  // cannot insert NULL
    Meaning{12899, Fault::record},  // value too large for column
    Meaning{16000, Fault::refused}, // open for read-only access
};

/// Numbers that a server leaves to its operator's triggers.
bool is_of_operator(const Dialect& dialect, int native) noexcept
{
    if (dialect.name == "mssql")
        return native >= 50000; // RAISERROR, THROW
    if (dialect.name == "sybase")
        return native >= 20000;                                           // raiserror
    return dialect.name == "oracle" && native >= 20000 && native < 21000; // RAISE_APPLICATION_ERROR
}

/// ODBC has `?` for a value in every dialect.
constexpr SqlDialect with_marks(SqlDialect sql)
{
    sql.numbered_placeholders = false;
    return sql;
}

/// One row a statement: only some know several.
constexpr SqlDialect of_rows(std::string_view quotes, std::string_view key, std::string_view bytes)
{
    return {.quotes = quotes,
            .if_not_exists = false,
            .key = key,
            .bytes = bytes,
            .table_suffix = "",
            .indexed_characters = 0,
            .numbered_placeholders = false,
            .rows_per_statement = 1};
}

/// Text of any language, which VARCHAR is not in SQL Server.
constexpr SqlDialect with_wide_text(SqlDialect sql)
{
    sql.text = "NVARCHAR";
    return sql;
}

/// A column is NOT NULL unless it says otherwise.
constexpr SqlDialect with_nulls_named(SqlDialect sql)
{
    sql.nullable = " NULL";
    return sql;
}

/// Not a constant: the shared dialects are not constants to the compiler.
const auto& dialects()
{
    static const std::array all{
        Dialect{"sql",
                "",
                of_rows("\"\"", "INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "BLOB"),
                TextForm::utf8,
                SQL_LONGVARBINARY,
                "",
                "SERVER",
                "PORT",
                "DATABASE",
                "",
                {}},
        // psqlodbc asks the server about a long type before it executes, and cannot be cancelled
        // then.
        Dialect{"postgres",
                "postgresql",
                with_marks(plugin_support::postgres_dialect),
                TextForm::utf8,
                SQL_VARBINARY,
                "PostgreSQL Unicode",
                "SERVER",
                "PORT",
                "DATABASE",
                "",
                {}},
        Dialect{"mariadb", "mariadb", with_marks(plugin_support::mysql_dialect), TextForm::utf8,
                SQL_LONGVARBINARY, "MariaDB Unicode", "SERVER", "PORT", "DATABASE", mariadb_session,
                mysql_faults},
        Dialect{"mysql", "mysql", with_marks(plugin_support::mysql_dialect), TextForm::utf8,
                SQL_LONGVARBINARY, "MySQL", "SERVER", "PORT", "DATABASE", mysql_session,
                mysql_faults},
        Dialect{"sqlite", "sqlite", with_marks(plugin_support::sqlite_dialect), TextForm::utf8,
                SQL_LONGVARBINARY, "SQLite3", "SERVER", "PORT", "DATABASE", "", sqlite_faults},
        Dialect{"mssql", "microsoft sql server",
                with_wide_text(of_rows("[]", "BIGINT IDENTITY(1,1) PRIMARY KEY", "VARBINARY(MAX)")),
                TextForm::utf16, SQL_LONGVARBINARY, "FreeTDS", "SERVER", "PORT", "DATABASE", "",
                transact_faults},
        Dialect{"sybase", "adaptive server",
                with_nulls_named(of_rows("[]", "NUMERIC(18,0) IDENTITY PRIMARY KEY", "IMAGE")),
                TextForm::utf8, SQL_LONGVARBINARY, "FreeTDS", "SERVER", "PORT", "DATABASE", "",
                transact_faults},
        Dialect{"maxdb", "sap db",
                of_rows("\"\"", "INTEGER DEFAULT SERIAL PRIMARY KEY", "LONG BYTE"), TextForm::utf8,
                SQL_LONGVARBINARY, "MaxDB", "SERVERNODE", "", "SERVERDB", "", maxdb_faults},
        Dialect{"oracle", "oracle",
                of_rows("\"\"", "NUMBER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "BLOB"),
                TextForm::utf16, SQL_LONGVARBINARY, "Oracle", "DBQ", "", "", "", oracle_faults},
        Dialect{"db2",
                "db2",
                of_rows("\"\"", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "BLOB(16M)"),
                TextForm::utf8,
                SQL_LONGVARBINARY,
                "DB2",
                "HOSTNAME",
                "PORT",
                "DATABASE",
                "",
                {}},
        Dialect{"firebird",
                "firebird",
                of_rows("\"\"", "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "BLOB"),
                TextForm::utf8,
                SQL_LONGVARBINARY,
                "Firebird",
                "SERVER",
                "PORT",
                "DBNAME",
                "",
                {}},
    };
    return all;
}

} // namespace

const Dialect* find_dialect(std::string_view name)
{
    const auto found = std::find_if(dialects().begin(), dialects().end(),
                                    [&](const Dialect& dialect) { return dialect.name == name; });
    return found == dialects().end() ? nullptr : &*found;
}

std::string dialect_names()
{
    std::string names;
    for (const Dialect& dialect : dialects())
        names += (names.empty() ? "" : ", ") + std::string(dialect.name);
    return names;
}

const Dialect& dialect_of(std::string_view dbms_name)
{
    const std::string name = plugin_support::lower(dbms_name);
    // FreeTDS calls either Transact-SQL server so; the newer ones are Microsoft's.
    if (name == "sql server")
        return *find_dialect("mssql");
    for (const Dialect& dialect : dialects())
        if (!dialect.dbms_name.empty() && name.starts_with(dialect.dbms_name))
            return dialect;
    return dialects().front();
}

std::string session_of(const Dialect& dialect, unsigned long seconds)
{
    std::string statement;
    for (const char c : dialect.session)
        statement += c == '%' ? std::to_string(seconds) : std::string(1, c);
    return statement;
}

bool refuses_null(std::string_view state, int native, std::string_view message,
                  std::string_view column)
{
    // SQL:1999, SQL Server, Adaptive Server, Oracle.
    if (state != "23502" && native != 515 && native != 233 && native != 1400)
        return false;
    const std::string text = plugin_support::lower(message), name = plugin_support::lower(column);
    return text.find('"' + name + '"') != text.npos || text.find("'" + name + "'") != text.npos ||
           text.find("column " + name + " ") != text.npos;
}

Fault fault_of(const Dialect& dialect, std::string_view state, int native, std::string_view message)
{
    static constexpr std::pair<std::string_view, Fault> states[] = {
        {"42S02", Fault::no_table},  // base table or view not found
        {"42P01", Fault::no_table},  // the same, PostgreSQL
        {"S0002", Fault::no_table},  // the same, ODBC 2
        {"23505", Fault::duplicate}, // unique violation, SQL:1999
        {"23502", Fault::refused},   // not null violation, SQL:1999
        {"23", Fault::duplicate},    // integrity constraint: the one that our tables have
        {"22", Fault::record},       // data exception
        {"54", Fault::record},       // a limit of the server
        {"45000", Fault::record},    // a trigger of the operator's says no, SQL:2003
        {"P0", Fault::record},       // the same, PostgreSQL
        {"21", Fault::record},       // so do these: cardinality
        {"38", Fault::record},       // a function of another language
        {"39", Fault::record},       // a trigger that breaks its protocol
        {"44", Fault::record},       // WITH CHECK OPTION of a view
        {"25", Fault::refused},      // transaction state: read-only
        {"28", Fault::refused},      // authorization
        {"42", Fault::refused},      // access rule, syntax, no such column
        {"37", Fault::refused},      // the same, ODBC 2
        {"3D", Fault::refused},      // no such database
        {"3F", Fault::refused},      // no such schema
    };
    for (const auto& [number, fault] : dialect.faults)
        if (number == native)
            return fault;
    if (is_of_operator(dialect, native))
        return Fault::record;
    // SQLite says both by SQLITE_ERROR.
    if (dialect.name == "sqlite" && native == 1)
        return message.find("no such table") != message.npos ? Fault::no_table : Fault::refused;
    for (const auto& [prefix, fault] : states)
        if (state.starts_with(prefix))
            return fault;
    return Fault::unavailable;
}

} // namespace mediaproxy::accounting_odbc
