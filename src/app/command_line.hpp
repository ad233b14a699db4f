// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "config/config.hpp"
#include "plugin/source.hpp"

namespace mediaproxy::app
{

/// What the command line asks for.
struct CommandLine {
    enum class Action {
        run,
        check,
        check_plugin,
        print_config,
        list_plugins,
        accounting,
        print_version,
        print_help,
    };
    enum class Place { background, foreground };
    enum class Logging { as_configured, debug };
    Action action = Action::run;
    Place place = Place::background;
    Logging logging = Logging::as_configured;
    std::optional<config::Role> role;  ///< goes before the configuration's
    std::optional<std::string> config; ///< nothing: the default file
    std::string plugin_file;           ///< of --check-plugin, with the settings behind it
    std::vector<plugin::Setting> plugin_settings;
    Seconds patience{30}; ///< of --check-plugin, for one call

    /// What to do with records that were refused; empty names: all of them.
    struct Accounting {
        enum class Verb { list, retry, save };
        Verb verb = Verb::list;
        std::string back_end, record_id;
    } accounting;
};

/// `words` are those behind the program's name. The error is one sentence for standard error.
Result<CommandLine> parse_command_line(std::span<const char* const> words);

/// The text of --help.
std::string usage();

} // namespace mediaproxy::app
