// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <variant>

#include <mediaproxy/types.h>

namespace mediaproxy::accounting_sqlite
{

/// Where the records go. Names of the table and its columns are SQL identifiers: letters, digits
/// and `_`, at most 64, not starting with a digit.
struct Options {
    std::string path;
    std::string table = "media_sessions";
    std::string call_id_column = "call_id";
    std::string from_tag_column = "from_tag";
    std::string to_tag_column = "to_tag";
    std::string info_column = "info";
    std::chrono::milliseconds busy_timeout{5000};
};

inline constexpr const char* setting_keys[] = {
    "path",         "sessions_table", "callid_column", "fromtag_column",
    "totag_column", "info_column",    "busy_timeout",  nullptr,
};

/// The options, or a sentence that says what is wrong. Without `path` the database is
/// sessions.sqlite in `state_dir`.
std::variant<Options, std::string> read_options(std::span<const mp_setting> settings,
                                                std::string_view state_dir);

} // namespace mediaproxy::accounting_sqlite
