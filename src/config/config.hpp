// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.hpp"
#include "dispatcher/options.hpp"
#include "plugin/source.hpp"
#include "relay/options.hpp"
#include "store/options.hpp"
#include "tls/options.hpp"

namespace mediaproxy::config
{

enum class Role { dispatcher, relay, both };

constexpr bool has_dispatcher(Role role) noexcept
{
    return role != Role::relay;
}
constexpr bool has_relay(Role role) noexcept
{
    return role != Role::dispatcher;
}

/// Where log lines go; `automatic`: the journal under systemd, standard error in the foreground,
/// syslog in the background.
enum class LogTarget { automatic, standard_error, syslog, journal };

/// A table [accounting.NAME] or [forwarding.NAME].
struct PluginTable {
    std::string name;
    std::string plugin; ///< which plugin; NAME when the table does not say
    std::vector<plugin::Setting> settings;
    std::string where; ///< file:line
};

/// The configuration file as values; the defaults are those of an empty file.
struct Config {
    Role role = Role::both;
    std::string plugin_dir;
    std::string runtime_dir = "/run/mediaproxy";
    std::string state_dir = "/var/lib/mediaproxyd";
    /// Microseconds for which the core thread looks for work before it sleeps; nothing: 15 with a
    /// dispatcher, 0 in a relay alone, to which no proxy talks.
    std::optional<int> busy_poll;
    bool realtime = false; ///< the core thread is
    struct Log {
        log::Level level = log::Level::info;
        LogTarget target = LogTarget::automatic;
    } log;
    store::Options store;
    tls::Options tls;
    relay::Options relay;
    dispatcher::Options dispatcher;
    std::vector<PluginTable> accounting, forwarding;

    std::string folder = "."; ///< of the file: certs_path and plugins' X_file are below it

    Config();

    /// The table of that name, or one without settings for the plugin of that name.
    PluginTable accounting_table(std::string_view name) const;
    PluginTable forwarding_table(std::string_view name) const;
    /// tls.certs_path, below `folder` when relative.
    std::string certs_path() const;
};

} // namespace mediaproxy::config
