// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/sql_dialect.hpp"

#include <utility>

namespace mediaproxy::plugin_support
{

// A prepared statement costs SQLite least a row at a time; to a server a batch is one journey.
const SqlDialect sqlite_dialect = {
    .quotes = "\"\"",
    .if_not_exists = true,
    .key = "INTEGER PRIMARY KEY AUTOINCREMENT",
    .bytes = "BLOB",
    .table_suffix = "",
    .indexed_characters = 0,
    .numbered_placeholders = false,
    .rows_per_statement = 1,
};

// Old row formats index 767 bytes at most: 3 x 48 characters of 4 bytes are below that. The index
// is not unique, a part of the value is enough for it. Binary collation: tags that differ in case
// differ.
const SqlDialect mysql_dialect = {
    .quotes = "``",
    .if_not_exists = true,
    .key = "BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY",
    .bytes = "MEDIUMBLOB",
    .table_suffix = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin",
    .indexed_characters = 48,
    .numbered_placeholders = false,
    .rows_per_statement = 100,
};

const SqlDialect postgres_dialect = {
    .quotes = "\"\"",
    .if_not_exists = true,
    .key = "BIGSERIAL PRIMARY KEY",
    .bytes = "BYTEA",
    .table_suffix = "",
    .indexed_characters = 0,
    .numbered_placeholders = true,
    .rows_per_statement = 100,
};

SqlText::SqlText(TableNames names, const SqlDialect& dialect)
    : names_(std::move(names)), dialect_(dialect)
{
}

std::string SqlText::quoted(std::string_view name) const
{
    if (dialect_.quotes.empty())
        return std::string(name);
    return dialect_.quotes[0] + std::string(name) + dialect_.quotes[1];
}

std::string SqlText::placeholders(std::size_t first, std::size_t count) const
{
    std::string list = "(";
    for (std::size_t i = first; i < first + count; ++i) {
        list += i == first ? "" : ", ";
        list += dialect_.numbered_placeholders ? "$" + std::to_string(i + 1) : "?";
    }
    return list + ")";
}

std::vector<std::string> SqlText::definition() const
{
    constexpr ColumnSizes sizes;
    const auto characters = [&](std::size_t count) {
        return " " + std::string(dialect_.text) + "(" + std::to_string(count) + ")";
    };
    const std::string nullable(dialect_.nullable);
    const std::string table = quoted(names_.table);
    const std::string index = quoted(names_.table + "_callid_idx");
    const std::string absent = dialect_.if_not_exists ? "IF NOT EXISTS " : "";
    const std::string part = dialect_.indexed_characters == 0
                                 ? ""
                                 : "(" + std::to_string(dialect_.indexed_characters) + ")";
    const std::string indexed = " (" + quoted(names_.call_id) + part + ", " +
                                quoted(names_.from_tag) + part + ", " + quoted(names_.to_tag) +
                                part + ")";
    std::string make = "CREATE TABLE " + absent + table + " (" + quoted("id") + " " +
                       std::string(dialect_.key) + ", " + quoted(names_.call_id) +
                       characters(sizes.call_id) + " NOT NULL, " + quoted(names_.from_tag) +
                       characters(sizes.from_tag) + " NOT NULL, " + quoted(names_.to_tag) +
                       characters(sizes.to_tag) + nullable + ", " + quoted(names_.info) + " " +
                       std::string(dialect_.bytes) + ", " + quoted("record_id") +
                       characters(sizes.record_id) + " UNIQUE";
    if (!part.empty())
        make += ", KEY " + index + indexed;
    make += ")" + std::string(dialect_.table_suffix);
    if (!part.empty())
        return {make};
    return {make, "CREATE INDEX " + absent + index + " ON " + table + indexed};
}

std::string SqlText::columns() const
{
    return "SELECT * FROM " + quoted(names_.table) + " WHERE 1 = 0";
}

std::string SqlText::insert(Layout layout, std::size_t rows) const
{
    std::string sql = "INSERT INTO " + quoted(names_.table) + " (" + quoted(names_.call_id) + ", " +
                      quoted(names_.from_tag) + ", " + quoted(names_.to_tag) + ", " +
                      quoted(names_.info);
    if (layout == Layout::ours)
        sql += ", " + quoted("record_id");
    sql += ") VALUES ";
    const std::size_t columns = layout == Layout::ours ? 5 : 4;
    for (std::size_t row = 0; row < rows; ++row)
        sql += (row == 0 ? "" : ", ") + placeholders(row * columns, columns);
    return sql;
}

std::string SqlText::find_records(std::size_t count) const
{
    const std::string record_id = quoted("record_id");
    return "SELECT " + record_id + " FROM " + quoted(names_.table) + " WHERE " + record_id +
           " IN " + placeholders(0, count);
}

std::string SqlText::find_infos(std::size_t count) const
{
    return "SELECT " + quoted(names_.info) + " FROM " + quoted(names_.table) + " WHERE " +
           quoted(names_.call_id) + " IN " + placeholders(0, count) + " AND " +
           quoted(names_.from_tag) + " IN " + placeholders(count, count);
}

std::string SqlText::find_to_tags() const
{
    return "SELECT " + quoted(names_.to_tag) + " FROM " + quoted(names_.table) + " WHERE " +
           quoted(names_.call_id) + " IN " + placeholders(0, 1) + " AND " +
           quoted(names_.from_tag) + " IN " + placeholders(1, 1);
}

} // namespace mediaproxy::plugin_support
