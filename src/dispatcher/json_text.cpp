// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/json_text.hpp"

#include <algorithm>
#include <cstddef>

namespace mediaproxy::dispatcher::json
{

namespace
{

constexpr std::size_t none = std::string_view::npos;
constexpr std::string_view blanks = " \t\r\n";

void skip_blanks(std::string_view& rest)
{
    rest.remove_prefix(std::min(rest.find_first_not_of(blanks), rest.size()));
}

/// Length of the string literal at the start.
std::size_t string_length(std::string_view text)
{
    for (std::size_t quote = text.find('"', 1); quote != none; quote = text.find('"', quote + 1)) {
        std::size_t before = quote;
        while (text[before - 1] == '\\')
            --before;
        if ((quote - before) % 2 == 0)
            return quote + 1;
    }
    return none;
}

/// Length of the value in brackets at the start; nests are counted, not recursed into.
std::size_t nest_length(std::string_view text)
{
    std::size_t depth = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (c == '"') {
            const std::size_t length = string_length(text.substr(at));
            if (length == none)
                return none;
            at += length - 1;
        } else if (c == '{' || c == '[') {
            ++depth;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return at + 1;
        }
    }
    return none;
}

std::size_t value_length(std::string_view text)
{
    if (text.empty())
        return none;
    if (text[0] == '"')
        return string_length(text);
    if (text[0] == '{' || text[0] == '[')
        return nest_length(text);
    const std::size_t length = std::min(text.find_first_of(",]} \t\r\n"), text.size());
    return length == 0 ? none : length;
}

std::optional<std::string_view> take_value(std::string_view& rest)
{
    skip_blanks(rest);
    const std::size_t length = value_length(rest);
    if (length == none)
        return std::nullopt;
    const std::string_view value = rest.substr(0, length);
    rest.remove_prefix(length);
    skip_blanks(rest);
    return value;
}

bool is_nest(std::string_view text, char open)
{
    skip_blanks(text);
    if (!text.starts_with(open))
        return false;
    const std::size_t length = nest_length(text);
    return length != none && text.find_first_not_of(blanks, length) == none &&
           text[length - 1] == (open == '[' ? ']' : '}');
}

} // namespace

std::optional<std::string_view> next_element(std::string_view& rest)
{
    skip_blanks(rest);
    if (rest.starts_with(']'))
        return std::nullopt;
    const auto value = take_value(rest);
    if (!value || (!rest.starts_with(',') && !rest.starts_with(']'))) {
        rest = {};
        return std::nullopt;
    }
    if (rest.starts_with(','))
        rest.remove_prefix(1);
    return value;
}

std::optional<std::string_view> member(std::string_view object, std::string_view name)
{
    skip_blanks(object);
    if (!object.starts_with('{'))
        return std::nullopt;
    object.remove_prefix(1);
    for (;;) {
        const auto key = take_value(object);
        if (!key || !key->starts_with('"') || !object.starts_with(':'))
            return std::nullopt;
        object.remove_prefix(1);
        const auto value = take_value(object);
        if (!value)
            return std::nullopt;
        if (key->substr(1, key->size() - 2) == name)
            return value;
        if (!object.starts_with(','))
            return std::nullopt;
        object.remove_prefix(1);
    }
}

void add_member(std::string& object, std::string_view name, std::string_view value)
{
    const std::size_t last = object.find_last_not_of(blanks);
    if (last == none || object[last] != '}' || !is_object(object))
        return;
    std::string_view inside(object.data(), last);
    inside.remove_prefix(std::min(inside.find('{') + 1, inside.size()));
    skip_blanks(inside);
    object.resize(last);
    object.append(inside.empty() ? "\"" : ", \"").append(name).append("\": ").append(value);
    object += '}';
}

bool is_array(std::string_view text)
{
    return is_nest(text, '[');
}

bool is_object(std::string_view text)
{
    return is_nest(text, '{');
}

} // namespace mediaproxy::dispatcher::json
