// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.hpp"

#include <string_view>

namespace mediaproxy::accounting_mysql
{

namespace
{

std::string apply(Options& options, std::string_view key, std::string_view value)
{
    if (key == "dburi")
        return {};
    if (auto verdict = plugin_support::apply(options.server, key, value))
        return *verdict;
    return plugin_support::apply(options.names, key, value)
        .value_or(std::string(key) + ": unknown setting");
}

} // namespace

std::variant<Options, std::string> read_options(std::span<const mp_setting> settings)
{
    Options options;
    if (std::string wrong = apply_dburi(options.server, settings, {"mysql", "mariadb"});
        !wrong.empty())
        return wrong;
    for (const mp_setting& setting : settings) {
        if (std::string wrong = apply(options, setting.key, setting.value); !wrong.empty())
            return wrong;
    }
    const plugin_support::ServerOptions& server = options.server;
    if (server.address.database.empty())
        return std::string("database: not set; nor has dburi one");
    if (server.tls_cert.empty() != server.tls_key.empty())
        return std::string("tls_cert and tls_key go together");
    if (!server.tls && !server.tls_ca.empty())
        options.server.tls = plugin_support::Tls::verify;
    if (std::string wrong = find_repeated(options.names); !wrong.empty())
        return wrong;
    return options;
}

} // namespace mediaproxy::accounting_mysql
