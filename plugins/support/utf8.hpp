// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mediaproxy::plugin_support
{

/// The text with every byte that belongs to no UTF-8 character replaced by U+FFFD.
std::string to_utf8(std::string_view text);

/// The first `most` characters of UTF-8 text.
std::string_view cut(std::string_view text, std::size_t most) noexcept;

bool is_ascii(std::string_view text) noexcept;

/// UTF-8 text with `?` for every character that is not ASCII.
std::string to_ascii(std::string_view text);

/// A JSON text that is UTF-8, its characters that are not ASCII written as \uXXXX.
std::string to_ascii_json(std::string_view json);

} // namespace mediaproxy::plugin_support
