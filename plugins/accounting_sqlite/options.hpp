// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <chrono>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include <mediaproxy/types.h>

#include "support/sql_options.hpp"

namespace mediaproxy::accounting_sqlite
{

struct Options {
    plugin_support::TableNames names;
    std::string path;
    std::chrono::milliseconds busy_timeout{5000};
};

inline constexpr auto setting_keys = plugin_support::join_keys(
    std::array{"path", "dburi", "busy_timeout"}, plugin_support::table_keys);

/// The options, or a sentence that says what is wrong. Without `path` and `dburi` the database is
/// sessions.sqlite in `state_dir`.
std::variant<Options, std::string> read_options(std::span<const mp_setting> settings,
                                                std::string_view state_dir);

} // namespace mediaproxy::accounting_sqlite
