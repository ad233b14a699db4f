// SPDX-License-Identifier: GPL-2.0-or-later
#include "utf16.hpp"

#include <cstdint>

namespace mediaproxy::accounting_odbc
{

namespace
{

constexpr char32_t replacement = 0xfffd, first_beyond = 0x10000;
constexpr char32_t first_high = 0xd800, first_low = 0xdc00, after_low = 0xe000;

void append_utf8(std::string& to, char32_t c)
{
    const auto tail = [&](unsigned shift) { to += static_cast<char>(0x80 | (c >> shift & 0x3f)); };
    if (c < 0x80) {
        to += static_cast<char>(c);
        return;
    }
    if (c < 0x800) {
        to += static_cast<char>(0xc0 | c >> 6);
    } else {
        if (c < first_beyond) {
            to += static_cast<char>(0xe0 | c >> 12);
        } else {
            to += static_cast<char>(0xf0 | c >> 18);
            tail(12);
        }
        tail(6);
    }
    tail(0);
}

} // namespace

std::u16string to_utf16(std::string_view text)
{
    std::u16string result;
    for (std::size_t at = 0; at < text.size();) {
        const auto lead = static_cast<unsigned char>(text[at]);
        const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
        char32_t c = length == 1 ? lead : lead & (0x7f >> length);
        for (std::size_t i = 1; i < length && at + i < text.size(); ++i)
            c = c << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3f);
        at += length;
        if (c < first_beyond) {
            result += static_cast<char16_t>(c);
        } else {
            result += static_cast<char16_t>(first_high + ((c - first_beyond) >> 10));
            result += static_cast<char16_t>(first_low + ((c - first_beyond) & 0x3ff));
        }
    }
    return result;
}

std::string to_utf8(std::u16string_view text)
{
    std::string result;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char32_t c = text[at];
        const char32_t next = at + 1 < text.size() ? text[at + 1] : 0;
        if (c < first_high || c >= after_low) {
            append_utf8(result, c);
        } else if (c < first_low && next >= first_low && next < after_low) {
            append_utf8(result, first_beyond + ((c - first_high) << 10) + (next - first_low));
            ++at;
        } else {
            append_utf8(result, replacement);
        }
    }
    return result;
}

} // namespace mediaproxy::accounting_odbc
