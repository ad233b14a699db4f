// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <variant>

#include <mediaproxy/types.h>

#include "support/sql_options.hpp"

namespace mediaproxy::accounting_mysql
{

/// How the way to the server is protected; `verify`: its certificate and its name are checked.
enum class Tls { off, on, verify };

struct TlsOptions {
    std::optional<Tls> use;    ///< not set: `verify` with a CA, else `off`
    std::string ca, cert, key; ///< paths, "" for none

    Tls mode() const { return use.value_or(ca.empty() ? Tls::off : Tls::verify); }
};

struct Options {
    plugin_support::TableNames names;
    plugin_support::ServerOptions server;
    TlsOptions tls;
};

inline constexpr auto setting_keys = plugin_support::join_keys(
    plugin_support::server_keys, std::array{"tls", "tls_ca", "tls_cert", "tls_key"},
    plugin_support::table_keys);

/// The options, or a sentence that says what is wrong.
std::variant<Options, std::string> read_options(std::span<const mp_setting> settings);

} // namespace mediaproxy::accounting_mysql
