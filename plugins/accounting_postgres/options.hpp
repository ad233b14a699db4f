// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <map>
#include <span>
#include <string>
#include <variant>

#include <mediaproxy/types.h>

#include "support/sql_options.hpp"

namespace mediaproxy::accounting_postgres
{

struct Options {
    plugin_support::TableNames names;
    plugin_support::ServerOptions server;
    std::map<std::string, std::string> tls; ///< settings of libpq, by their names there
};

inline constexpr std::array tls_keys{"sslmode", "sslrootcert", "sslcert", "sslkey"};
inline constexpr auto setting_keys =
    plugin_support::join_keys(plugin_support::server_keys, tls_keys, plugin_support::table_keys);

/// The options, or a sentence that says what is wrong.
std::variant<Options, std::string> read_options(std::span<const mp_setting> settings);

} // namespace mediaproxy::accounting_postgres
