// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.hpp"

#include <utility>

namespace mediaproxy::accounting_sqlite
{

namespace
{

/// An empty sentence when the setting is right.
std::string apply(Options& options, std::string_view key, std::string_view value)
{
    if (key == "path") {
        options.path = value;
        return {};
    }
    if (key == "dburi")
        return {};
    if (key == "busy_timeout") {
        const auto seconds = plugin_support::parse_seconds(value);
        options.busy_timeout = seconds.value_or(options.busy_timeout);
        return seconds
                   ? std::string()
                   : "busy_timeout: not a number of seconds from 0 to 3600: " + std::string(value);
    }
    return plugin_support::apply(options.names, key, value)
        .value_or(std::string(key) + ": unknown setting");
}

} // namespace

std::variant<Options, std::string> read_options(std::span<const mp_setting> settings,
                                                std::string_view state_dir)
{
    Options options;
    plugin_support::ServerOptions file;
    if (std::string wrong = apply_dburi(file, settings, {"sqlite"}); !wrong.empty())
        return wrong;
    if (!file.address.host.empty())
        return std::string("dburi: a file is written sqlite:///path");
    if (!file.address.database.empty())
        options.path = "/" + file.address.database;
    for (const mp_setting& setting : settings) {
        if (std::string wrong = apply(options, setting.key, setting.value); !wrong.empty())
            return wrong;
    }
    if (options.path.empty() && state_dir.empty())
        return std::string("path: not set, and the daemon has no state folder");
    if (options.path.empty())
        options.path = std::string(state_dir) + "/sessions.sqlite";
    if (std::string wrong = find_repeated(options.names); !wrong.empty())
        return wrong;
    return options;
}

} // namespace mediaproxy::accounting_sqlite
