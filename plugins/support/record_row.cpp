// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/record_row.hpp"

#include "support/utf8.hpp"

namespace mediaproxy::plugin_support
{

namespace
{

std::string fit(const char* text, const char* column, std::size_t characters, const OnCut& on_cut)
{
    std::string whole = to_utf8(text);
    const std::size_t length = cut(whole, characters).size();
    if (length < whole.size()) {
        whole.resize(length);
        on_cut(column, characters);
    }
    return whole;
}

SqlValue text(std::string_view value)
{
    return {SqlValue::Kind::text, value};
}

} // namespace

void RecordRow::append_values(Layout layout, std::vector<SqlValue>& values) const
{
    values.push_back(text(call_id));
    values.push_back(text(from_tag));
    values.push_back(to_tag.empty() ? SqlValue() : text(to_tag));
    values.push_back({SqlValue::Kind::bytes, info});
    if (layout == Layout::ours)
        values.push_back(text(record_id));
}

bool RecordRow::is_ascii() const
{
    return plugin_support::is_ascii(call_id) && plugin_support::is_ascii(from_tag) &&
           plugin_support::is_ascii(to_tag) && plugin_support::is_ascii(info);
}

void RecordRow::become_ascii()
{
    for (std::string* column : {&call_id, &from_tag, &to_tag})
        *column = to_ascii(*column);
    info = to_ascii_json(info);
}

RecordRow to_row(const mp_session_record& record, const ColumnSizes& sizes, const OnCut& on_cut)
{
    return {to_utf8(record.record_id), fit(record.call_id, "call_id", sizes.call_id, on_cut),
            fit(record.from_tag, "from_tag", sizes.from_tag, on_cut),
            fit(record.to_tag, "to_tag", sizes.to_tag, on_cut), to_utf8(record.json)};
}

std::string_view record_id_of(std::string_view json)
{
    constexpr std::string_view key = "\"record_id\"", blank = " \t\r\n";
    // Quotes within a string are escaped: what is found is a whole string, but perhaps a value.
    for (std::size_t at = json.find(key); at != json.npos; at = json.find(key, at + 1)) {
        std::size_t next = json.find_first_not_of(blank, at + key.size());
        if (next == json.npos || json[next] != ':')
            continue;
        next = json.find_first_not_of(blank, next + 1);
        if (next == json.npos || json[next] != '"')
            continue;
        const std::size_t end = json.find('"', next + 1);
        return json.substr(next + 1, end == json.npos ? 0 : end - next - 1);
    }
    return {};
}

} // namespace mediaproxy::plugin_support
