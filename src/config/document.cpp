// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <fmt/format.h>
#include <sstream>
#include <toml.hpp>

#include "base/text.hpp"
#include "config/value.hpp"

namespace mediaproxy::config
{

namespace
{

unsigned line_of(const toml::value& value)
{
    return static_cast<unsigned>(value.location().line());
}

Value convert(const toml::value& value)
{
    if (value.is_boolean())
        return {value.as_boolean()};
    if (value.is_integer())
        return {value.as_integer()};
    if (value.is_floating())
        return {value.as_floating()};
    if (value.is_string())
        return {value.as_string().str};
    if (!value.is_array())
        return {};
    Value::Array array;
    for (const toml::value& element : value.as_array())
        array.push_back(convert(element));
    return {std::move(array)};
}

void collect(const toml::table& table, const std::string& name, Document& document)
{
    for (const auto& [key, value] : table) {
        if (!value.is_table()) {
            document.entries.push_back({name, key, convert(value), line_of(value)});
            continue;
        }
        const std::string below = name.empty() ? key : name + "." + key;
        document.tables.push_back({below, line_of(value)});
        collect(value.as_table(), below, document);
    }
}

/// toml11 explains an error as "[error] toml::function: message\n --> file\n ...".
std::string first_sentence(std::string_view what)
{
    what = what.substr(0, what.find('\n'));
    constexpr std::string_view mark = "[error] ";
    if (what.starts_with(mark))
        what.remove_prefix(mark.size());
    if (what.starts_with("toml::"))
        what.remove_prefix(std::min(what.size(), what.find(": ") + 2));
    return text::printable(what);
}

std::string scalar_to_toml(const Value& value)
{
    if (const bool* flag = std::get_if<bool>(&value.data))
        return *flag ? "true" : "false";
    if (const std::int64_t* number = std::get_if<std::int64_t>(&value.data))
        return std::to_string(*number);
    if (const double* number = std::get_if<double>(&value.data))
        return fmt::format("{}", *number);
    if (const std::string* string = std::get_if<std::string>(&value.data))
        return quote(*string);
    return "(a date or a table)";
}

} // namespace

std::string quote(std::string_view text)
{
    std::string result = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\')
            result += '\\';
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            result += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
        else
            result += c;
    }
    return result + "\"";
}

std::string to_toml(const Value& value)
{
    constexpr std::size_t most = 80;
    std::string result;
    if (const Value::Array* array = std::get_if<Value::Array>(&value.data)) {
        for (const Value& element : *array)
            result += (result.empty() ? "" : ", ") + to_toml(element);
        result = "[" + result + "]";
    } else {
        result = scalar_to_toml(value);
    }
    return result.size() > most ? text::printable(result, most) : result;
}

Result<Document> read_document(const std::string& text, const std::string& name)
{
    if (!text::is_utf8(text))
        return invalid(name + ": not UTF-8 text");
    try {
        std::istringstream stream(text);
        const toml::value root = toml::parse(stream, name);
        Document document;
        collect(root.as_table(), "", document);
        const auto by_line = [](const auto& a, const auto& b) { return a.line < b.line; };
        std::stable_sort(document.entries.begin(), document.entries.end(), by_line);
        std::stable_sort(document.tables.begin(), document.tables.end(), by_line);
        return document;
    } catch (const toml::exception& error) {
        return invalid(
            fmt::format("{}:{}: {}", name, error.location().line(), first_sentence(error.what())));
    } catch (const std::exception& error) {
        return invalid(fmt::format("{}: {}", name, first_sentence(error.what())));
    }
}

} // namespace mediaproxy::config
