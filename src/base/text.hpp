// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mediaproxy::text
{

/// The whole of `digits` as a decimal number, or nothing (sign, blanks, overflow: nothing).
template <std::unsigned_integral T>
std::optional<T> parse_number(std::string_view digits) noexcept
{
    T number{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size())
        return std::nullopt;
    return number;
}

/// The parts of `line` between `separator`s; empty parts stay.
std::vector<std::string_view> split(std::string_view line, char separator);
std::string_view trim(std::string_view line) noexcept;

/// The candidate that is spelled most like `word` (at most a third of it different), for error
/// messages; empty when none is near.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// Control characters and bytes that are not UTF-8 as `\xNN`, cut at `most` bytes: what a stranger
/// sent, fit for a log line.
std::string printable(std::string_view bytes, std::size_t most = 200);

bool is_utf8(std::string_view bytes) noexcept;

} // namespace mediaproxy::text
