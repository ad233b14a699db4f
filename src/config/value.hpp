// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.hpp"

namespace mediaproxy::config
{

/// A value of the file: what TOML knows and a setting can be. monostate: a date or a table inside
/// an array, which no setting is.
struct Value {
    using Array = std::vector<Value>;
    std::variant<std::monostate, bool, std::int64_t, double, std::string, Array> data;
};

/// The value as it would stand in the file, cut when it is long: for messages.
std::string to_toml(const Value& value);
std::string quote(std::string_view text);

/// One `key = value`, with the table in which it stands ("" at the top, "dispatcher.management").
struct Entry {
    std::string table, key;
    Value value;
    unsigned line = 0;
};

/// The tables of a file and their entries, in the order of the file as far as TOML keeps it.
struct Document {
    struct Table {
        std::string name;
        unsigned line = 0;
    };
    std::vector<Table> tables;
    std::vector<Entry> entries;
};

/// `name` is the file's, for messages: "name:line: what is wrong".
Result<Document> read_document(const std::string& text, const std::string& name);

} // namespace mediaproxy::config
