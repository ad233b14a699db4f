// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.hpp"

#include <string_view>
#include <utility>

namespace mediaproxy::accounting_odbc
{

namespace
{

using plugin_support::Verdict;

std::string read_dialect(Options& options, std::string_view value)
{
    options.dialect = find_dialect(value);
    if (options.dialect != nullptr || value == "auto")
        return {};
    return "dialect: not one of auto, " + dialect_names() + ": " + std::string(value);
}

Verdict apply_own(Options& options, std::string_view key, std::string_view value)
{
    static constexpr std::pair<std::string_view, std::string Options::*> texts[] = {
        {"dsn", &Options::dsn},
        {"driver", &Options::driver},
        {"connection_string", &Options::more},
    };
    if (key == "dialect")
        return read_dialect(options, value);
    for (const auto& [name, member] : texts) {
        if (key != name)
            continue;
        options.*member = value;
        return std::string();
    }
    return std::nullopt;
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
    return apply_own(options, key, value).value_or(std::string(key) + ": unknown setting");
}

/// `mssql://...`: the scheme names the dialect, and a driver that knows it.
void follow_scheme(Options& options)
{
    const Dialect* dialect = find_dialect(options.server.address.scheme);
    if (dialect == nullptr)
        return;
    if (options.dialect == nullptr)
        options.dialect = dialect;
    if (options.driver.empty() && options.dsn.empty())
        options.driver = dialect->driver;
}

} // namespace

std::variant<Options, std::string> read_options(std::span<const mp_setting> settings)
{
    Options options;
    std::string wrong = plugin_support::apply_dburi(
        options.server, settings, {"odbc", "mssql", "sybase", "maxdb", "oracle", "db2", "firebird"},
        [&](std::string_view key, std::string_view value) {
            return apply_own(options, key, value);
        });
    for (const mp_setting& setting : settings)
        if (wrong.empty())
            wrong = apply(options, setting.key, setting.value);
    if (wrong.empty())
        wrong = find_repeated(options.names);
    follow_scheme(options);
    if (wrong.empty() && options.dsn.empty() && options.driver.empty() && options.more.empty())
        wrong = "neither dsn nor driver nor connection_string is set";
    if (!wrong.empty())
        return wrong;
    return options;
}

} // namespace mediaproxy::accounting_odbc
