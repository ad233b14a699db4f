// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <mediaproxy/plugin.h>

namespace mediaproxy::plugin
{

enum class Kind { accounting, forwarding };

constexpr std::string_view to_string(Kind kind) noexcept
{
    return kind == Kind::accounting ? "accounting" : "forwarding";
}

/// Where a plugin's log lines go; called from any thread, `plugin` is the instance.
using LogSink =
    std::function<void(mp_log_level level, std::string_view plugin, std::string_view text)>;

/// One `key = value` of a plugin's table, value in canonical text. An array is the key repeated.
struct Setting {
    std::string key;
    std::string value;
    std::string where; ///< file:line, for errors; may be empty
};

/// What the daemon tells every plugin about itself.
struct HostOptions {
    std::string version;   ///< the daemon's
    std::string owner;     ///< stable id of this daemon instance
    std::string state_dir; ///< existing folder, or empty
    LogSink log;           ///< empty: the daemon's log
    std::map<std::string, const void*> services;
};

/// One instance of a plugin as the configuration names it.
struct PluginSource {
    std::string dir;      ///< the folder of the plugins
    std::string name;     ///< sqlite: the file is accounting_sqlite.so
    std::string instance; ///< accounting.sqlite, for log lines; empty: kind and name
    std::vector<Setting> settings;
    std::string folder; ///< of the configuration, see Settings::prepare
    HostOptions host;
};

/// `instance`, or kind.name when the source does not say.
std::string instance_name(Kind kind, const PluginSource& source);

} // namespace mediaproxy::plugin
