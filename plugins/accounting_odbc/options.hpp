// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <span>
#include <string>
#include <variant>

#include <mediaproxy/types.h>

#include "dialects.hpp"
#include "support/sql_options.hpp"

namespace mediaproxy::accounting_odbc
{

struct Options {
    plugin_support::TableNames names;
    plugin_support::ServerOptions server;
    std::string dsn;
    std::string driver;
    std::string more;                 ///< of a connection string: KEY=value;KEY=value
    const Dialect* dialect = nullptr; ///< null: by what the database calls itself
};

inline constexpr std::array own_keys{"dsn", "driver", "connection_string", "dialect"};
inline constexpr auto setting_keys =
    plugin_support::join_keys(std::array{"dburi", "host", "port", "user", "password", "database",
                                         "connect_timeout", "statement_timeout"},
                              own_keys, plugin_support::table_keys);

/// The options, or a sentence that says what is wrong.
std::variant<Options, std::string> read_options(std::span<const mp_setting> settings);

} // namespace mediaproxy::accounting_odbc
