// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/text.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>

#include <fmt/format.h>

namespace mediaproxy::text
{

namespace
{

std::size_t edit_distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
        }
    }
    return row.back();
}

/// Length in bytes of the UTF-8 sequence at the start of `bytes`, 0 when there is none.
std::size_t sequence_length(std::string_view bytes) noexcept
{
    const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    const std::uint8_t lead = at(0);
    if (lead < 0x80)
        return 1;
    const std::size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || bytes.size() < length)
        return 0;
    for (std::size_t i = 1; i < length; ++i) {
        if ((at(i) & 0xc0) != 0x80)
            return 0;
    }
    const bool overlong = (lead == 0xe0 && at(1) < 0xa0) || (lead == 0xf0 && at(1) < 0x90);
    const bool outside = (lead == 0xed && at(1) > 0x9f) || (lead == 0xf4 && at(1) > 0x8f);
    return overlong || outside ? 0 : length;
}

/// How many bytes at the start are ASCII, eight at a look: nearly all that we read is.
std::size_t ascii_length(std::string_view bytes) noexcept
{
    std::size_t length = 0;
    std::uint64_t word = 0;
    for (; length + sizeof word <= bytes.size(); length += sizeof word) {
        std::memcpy(&word, bytes.data() + length, sizeof word);
        if (word & 0x8080808080808080U)
            break;
    }
    while (length < bytes.size() && static_cast<std::uint8_t>(bytes[length]) < 0x80)
        ++length;
    return length;
}

} // namespace

std::vector<std::string_view> split(std::string_view line, char separator)
{
    std::vector<std::string_view> parts;
    for (;;) {
        const std::size_t end = line.find(separator);
        parts.push_back(line.substr(0, end));
        if (end == std::string_view::npos)
            return parts;
        line.remove_prefix(end + 1);
    }
}

std::string_view trim(std::string_view line) noexcept
{
    const std::string_view blank = " \t\r\n";
    const std::size_t first = line.find_first_not_of(blank);
    if (first == std::string_view::npos)
        return {};
    return line.substr(first, line.find_last_not_of(blank) - first + 1);
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates)
{
    std::string_view best;
    std::size_t best_distance = word.size() / 3 + 2;
    for (const std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < best_distance) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

std::string printable(std::string_view bytes, std::size_t most)
{
    std::string shown;
    const bool cut = bytes.size() > most;
    bytes = bytes.substr(0, most);
    while (!bytes.empty()) {
        const std::size_t length = sequence_length(bytes);
        const auto lead = static_cast<std::uint8_t>(bytes[0]);
        if (length == 0 || lead < 0x20 || lead == 0x7f) {
            shown += fmt::format("\\x{:02x}", lead);
            bytes.remove_prefix(1);
        } else {
            shown += bytes.substr(0, length);
            bytes.remove_prefix(length);
        }
    }
    if (cut)
        shown += "...";
    return shown;
}

bool is_utf8(std::string_view bytes) noexcept
{
    for (;;) {
        bytes.remove_prefix(ascii_length(bytes));
        if (bytes.empty())
            return true;
        const std::size_t length = sequence_length(bytes);
        if (length == 0)
            return false;
        bytes.remove_prefix(length);
    }
}

} // namespace mediaproxy::text
