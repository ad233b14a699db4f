// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.hpp"

#include <algorithm>

namespace mediaproxy::accounting_postgres
{

namespace
{

using plugin_support::Verdict;

Verdict apply_tls(Options& options, std::string_view key, std::string_view value)
{
    static constexpr std::array modes{"disable", "allow",     "prefer",
                                      "require", "verify-ca", "verify-full"};
    if (std::find(tls_keys.begin(), tls_keys.end(), key) == tls_keys.end())
        return std::nullopt;
    options.tls[std::string(key)] = value;
    if (key != "sslmode" || std::find(modes.begin(), modes.end(), value) != modes.end())
        return std::string();
    return "sslmode: not one of disable, allow, prefer, require, verify-ca and verify-full: " +
           std::string(value);
}

/// An empty sentence when the setting is right.
std::string apply(Options& options, std::string_view key, std::string_view value)
{
    if (key == "dburi")
        return {};
    if (const Verdict verdict = plugin_support::apply(options.server, key, value))
        return *verdict;
    if (const Verdict verdict = plugin_support::apply(options.names, key, value))
        return *verdict;
    return apply_tls(options, key, value).value_or(std::string(key) + ": unknown setting");
}

} // namespace

std::variant<Options, std::string> read_options(std::span<const mp_setting> settings)
{
    Options options;
    std::string wrong =
        plugin_support::apply_dburi(options.server, settings, {"postgres", "postgresql"},
                                    [&](std::string_view key, std::string_view value) {
                                        return apply_tls(options, key, value);
                                    });
    for (const mp_setting& setting : settings)
        if (wrong.empty())
            wrong = apply(options, setting.key, setting.value);
    if (wrong.empty())
        wrong = find_repeated(options.names);
    if (wrong.empty() && options.server.address.database.empty())
        wrong = "database: not set, neither by itself nor in dburi";
    if (!wrong.empty())
        return wrong;
    return options;
}

} // namespace mediaproxy::accounting_postgres
