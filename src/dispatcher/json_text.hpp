// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>

/// Slices of JSON texts that are passed on as they came: thousands of sessions need not become
/// objects to be told to a web page. Structure is checked, values are not. [pure]
namespace mediaproxy::dispatcher::json
{

/// Takes the next element off an array's inside (`rest` begins behind the `[` at first); nothing at
/// the end, or when it is not JSON: then `rest` is not `]`.
std::optional<std::string_view> next_element(std::string_view& rest);

/// The value of a member of an object; nothing when it is missing or the text is no object.
std::optional<std::string_view> member(std::string_view object, std::string_view name);

/// Puts a member behind those of an object; anything else is left alone.
void add_member(std::string& object, std::string_view name, std::string_view value);

/// Is the whole text one array or one object, by its brackets.
bool is_array(std::string_view text);
bool is_object(std::string_view text);

} // namespace mediaproxy::dispatcher::json
