// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <mediaproxy/accounting.h>

#include "support/sql_dialect.hpp"
#include "support/sql_driver.hpp"

namespace mediaproxy::plugin_support
{

/// What the table gets of a record: UTF-8, no longer than the columns.
struct RecordRow {
    std::string record_id;
    std::string call_id;
    std::string from_tag;
    std::string to_tag; ///< "": NULL, as MediaProxy writes what is not known
    std::string info;

    /// In the order of SqlText::insert().
    void append_values(Layout layout, std::vector<SqlValue>& values) const;
    bool is_ascii() const;
    /// For a column that has no place for other characters; in `info` nothing is lost.
    void become_ascii();
};

/// Called with the name of a column whose text was cut, and its size in characters.
using OnCut = std::function<void(const char* column, std::size_t characters)>;

RecordRow to_row(const mp_session_record& record, const ColumnSizes& sizes, const OnCut& on_cut);

/// The value of the key record_id in a record's JSON, "" when it has none.
std::string_view record_id_of(std::string_view json);

} // namespace mediaproxy::plugin_support
