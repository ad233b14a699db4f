// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "support/sql_options.hpp"

namespace mediaproxy::plugin_support
{

/// In what the databases differ.
struct SqlDialect {
    std::string_view quotes;       ///< around an identifier, "" for none
    bool if_not_exists;            ///< knows CREATE TABLE IF NOT EXISTS
    std::string_view key;          ///< the definition of the column `id`
    std::string_view bytes;        ///< the type of `info`
    std::string_view table_suffix; ///< behind the columns
    /// The index is part of the table's definition, with so many characters of each column; 0: it
    /// is a statement of its own.
    std::size_t indexed_characters;
    bool numbered_placeholders;        ///< $1, $2, not ?
    std::size_t rows_per_statement;    ///< at most, in an INSERT or a look
    std::string_view text = "VARCHAR"; ///< the type of the other columns, with a size behind it
    std::string_view nullable = "";    ///< what a column says that may be NULL
};

extern const SqlDialect sqlite_dialect;
extern const SqlDialect mysql_dialect;
extern const SqlDialect postgres_dialect;

/// Whose table it is: one of ours has the column record_id, one that MediaProxy made has not.
enum class Layout { ours, mediaproxy };

/// Sizes of the columns that we make, in characters.
struct ColumnSizes {
    std::size_t record_id = 64, call_id = 255, from_tag = 64, to_tag = 64;
};

/// The statements about one table in one dialect. Placeholders are in the order of the comments.
class SqlText
{
public:
    SqlText(TableNames names, const SqlDialect& dialect);

    /// One after the other they make the table.
    std::vector<std::string> definition() const;
    /// All of the table's columns and no row.
    std::string columns() const;
    /// For each row: call_id, from_tag, to_tag, info and in a table of ours record_id.
    std::string insert(Layout layout, std::size_t rows) const;
    /// record_id of those among so many values of record_id that are there.
    std::string find_records(std::size_t count) const;
    /// info of the rows with one of so many call_id and one of then as many from_tag.
    std::string find_infos(std::size_t count) const;
    /// to_tag of the rows with a call_id and a from_tag.
    std::string find_to_tags() const;

private:
    std::string quoted(std::string_view name) const;
    /// `(?, ?, ...)`, or numbered from `first`.
    std::string placeholders(std::size_t first, std::size_t count) const;

    TableNames names_;
    const SqlDialect& dialect_;
};

} // namespace mediaproxy::plugin_support
