// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <mediaproxy/types.h>

#include "support/database_address.hpp"

namespace mediaproxy::plugin_support
{

/// Names of the table and its columns are SQL identifiers: letters, digits and `_`, at most 64, not
/// starting with a digit.
struct TableNames {
    std::string table = "media_sessions";
    std::string call_id = "call_id";
    std::string from_tag = "from_tag";
    std::string to_tag = "to_tag";
    std::string info = "info";
};

/// How a server is reached.
struct ServerOptions {
    DatabaseAddress address;
    std::chrono::milliseconds connect_timeout{5000};
    std::chrono::milliseconds statement_timeout{5000};
};

inline constexpr std::array table_keys{"sessions_table", "callid_column", "fromtag_column",
                                       "totag_column", "info_column"};
inline constexpr std::array server_keys{"dburi",
                                        "host",
                                        "port",
                                        "socket",
                                        "user",
                                        "password",
                                        "database",
                                        "connect_timeout",
                                        "statement_timeout"};

/// The keys of a plugin as mp_plugin wants them: one after the other, and a null pointer.
template <std::size_t... sizes>
constexpr auto join_keys(const std::array<const char*, sizes>&... keys)
{
    std::array<const char*, (sizes + ... + 1)> joined{};
    std::size_t at = 0;
    const auto append = [&](const auto& some) {
        for (const char* key : some)
            joined[at++] = key;
    };
    (append(keys), ...);
    return joined;
}

/// What a reader of settings answers: nothing when the key is not its own, else a sentence that
/// says what is wrong with the value, empty when nothing is.
using Verdict = std::optional<std::string>;

Verdict apply(TableNames& names, std::string_view key, std::string_view value);

/// Everything but `dburi`, over which the single keys go.
Verdict apply(ServerOptions& options, std::string_view key, std::string_view value);

/// A plugin's own settings.
using ApplyOwn = std::function<Verdict(std::string_view key, std::string_view value)>;

/// Reads `dburi` into `options`; its scheme has to be one of these, and `?key=value` is any key of
/// apply() or of `own`. Call it before apply(). Empty when nothing is wrong or there is no such
/// setting.
std::string apply_dburi(ServerOptions& options, std::span<const mp_setting> settings,
                        std::initializer_list<std::string_view> schemes, const ApplyOwn& own = {});

/// SQL compares names without case: the same one twice would be one column. Empty when all differ.
std::string find_repeated(const TableNames& names);

/// Seconds with decimals, at most an hour; nothing when it is not a number.
std::optional<std::chrono::milliseconds> parse_seconds(std::string_view text);

/// ASCII letters only, whatever the locale.
std::string lower(std::string_view text);

} // namespace mediaproxy::plugin_support
