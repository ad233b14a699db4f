// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/utf8.hpp"

#include <algorithm>
#include <cstdint>

namespace mediaproxy::plugin_support
{

namespace
{

struct Character {
    std::size_t length = 0; ///< in bytes; 0: the text does not start with a character
    std::uint32_t code = 0;
};

std::uint8_t byte_at(std::string_view text, std::size_t at)
{
    return static_cast<std::uint8_t>(text[at]);
}

/// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
Character first_of(std::string_view text)
{
    const std::uint8_t lead = byte_at(text, 0);
    if (lead < 0x80)
        return {1, lead};
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || text.size() < length)
        return {};
    std::uint32_t code = lead & (0xffU >> (length + 1));
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte_at(text, i) & 0xc0) != 0x80)
            return {};
        code = code << 6 | (byte_at(text, i) & 0x3fU);
    }
    constexpr std::uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000))
        return {};
    return {length, code};
}

/// Calls `take(bytes, code)` for every character of UTF-8 text; a stray byte is U+FFFD.
template <class Take>
void for_each_character(std::string_view text, Take take)
{
    while (!text.empty()) {
        const Character next = first_of(text);
        if (next.length == 0)
            take(std::string_view("\xef\xbf\xbd"), 0xfffdU);
        else
            take(text.substr(0, next.length), next.code);
        text.remove_prefix(std::max<std::size_t>(next.length, 1));
    }
}

void append_escape(std::string& out, std::uint32_t unit)
{
    static constexpr char hex[] = "0123456789abcdef";
    out += "\\u";
    for (const int shift : {12, 8, 4, 0})
        out += hex[unit >> shift & 15];
}

} // namespace

std::string to_utf8(std::string_view text)
{
    std::string result;
    result.reserve(text.size());
    for_each_character(text, [&](std::string_view bytes, std::uint32_t) { result += bytes; });
    return result;
}

std::string_view cut(std::string_view text, std::size_t most) noexcept
{
    std::size_t at = 0;
    for (; at < text.size(); ++at) {
        const bool starts_character = (byte_at(text, at) & 0xc0) != 0x80;
        if (starts_character && most-- == 0)
            break;
    }
    return text.substr(0, at);
}

bool is_ascii(std::string_view text) noexcept
{
    return std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
}

std::string to_ascii(std::string_view text)
{
    std::string result;
    for_each_character(text, [&](std::string_view, std::uint32_t code) {
        result += code < 0x80 ? static_cast<char>(code) : '?';
    });
    return result;
}

std::string to_ascii_json(std::string_view json)
{
    std::string result;
    result.reserve(json.size());
    for_each_character(json, [&](std::string_view bytes, std::uint32_t code) {
        if (code < 0x80)
            result += bytes;
        else if (code < 0x10000)
            append_escape(result, code);
        else {
            append_escape(result, 0xd800 + ((code - 0x10000) >> 10));
            append_escape(result, 0xdc00 + ((code - 0x10000) & 0x3ff));
        }
    });
    return result;
}

} // namespace mediaproxy::plugin_support
