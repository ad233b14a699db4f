// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/command_line.hpp"

#include <array>
#include <fmt/format.h>

#include "base/text.hpp"

namespace mediaproxy::app
{

namespace
{

enum class Verdict { taken, refused };

struct Option {
    std::string_view name;     ///< without the dashes
    std::string_view argument; ///< shown in the help; empty: takes none
    std::string_view help;
    Verdict (*take)(CommandLine&, std::string_view value);
};

template <auto member, auto value>
Verdict set(CommandLine& line, std::string_view)
{
    line.*member = value;
    return Verdict::taken;
}

Verdict take_role(CommandLine& line, std::string_view value)
{
    using config::Role;
    line.role = value == "dispatcher" ? std::optional(Role::dispatcher)
                : value == "relay"    ? std::optional(Role::relay)
                : value == "both"     ? std::optional(Role::both)
                                      : std::nullopt;
    return line.role ? Verdict::taken : Verdict::refused;
}

Verdict take_config(CommandLine& line, std::string_view value)
{
    line.config = value;
    return value.empty() ? Verdict::refused : Verdict::taken;
}

Verdict take_accounting(CommandLine& line, std::string_view value)
{
    using Verb = CommandLine::Accounting::Verb;
    line.action = CommandLine::Action::accounting;
    line.accounting.verb = value == "retry"    ? Verb::retry
                           : value == "export" ? Verb::save
                                               : Verb::list;
    return value == "list" || value == "retry" || value == "export" ? Verdict::taken
                                                                    : Verdict::refused;
}

using Action = CommandLine::Action;

Verdict take_plugin_file(CommandLine& line, std::string_view value)
{
    line.action = Action::check_plugin;
    line.plugin_file = value;
    return value.empty() ? Verdict::refused : Verdict::taken;
}

Verdict take_patience(CommandLine& line, std::string_view value)
{
    const auto seconds = text::parse_number<std::uint16_t>(value);
    line.patience = Seconds(seconds.value_or(0));
    return line.patience == Seconds(0) ? Verdict::refused : Verdict::taken;
}

constexpr std::array options{
    Option{"role", "dispatcher|relay|both", "what to run as, before the configuration's role",
           take_role},
    Option{"config", "FILE", "the configuration (default " MEDIAPROXYD_CONFIG_FILE ")",
           take_config},
    Option{"check", "", "look at the configuration, say what is wrong and exit with 0 or 1",
           set<&CommandLine::action, Action::check>},
    Option{"print-config", "", "print the whole configuration that is in force",
           set<&CommandLine::action, Action::print_config>},
    Option{"list-plugins", "", "print the plugins in the plugin folder",
           set<&CommandLine::action, Action::list_plugins>},
    Option{"check-plugin", "FILE", "try a plugin out; KEY=VALUE behind it are its settings",
           take_plugin_file},
    Option{"patience", "SECONDS", "how long a call of --check-plugin may take (default 30)",
           take_patience},
    Option{"accounting", "list|retry|export",
           "list the records that back ends refused, try them again, or print them as JSON; "
           "[BACK_END] [RECORD_ID] behind it: only those",
           take_accounting},
    Option{"no-fork", "", "stay in the foreground and log to standard error",
           set<&CommandLine::place, CommandLine::Place::foreground>},
    Option{"debug", "", "log everything, whatever the configuration says",
           set<&CommandLine::logging, CommandLine::Logging::debug>},
    Option{"version", "", "print the version", set<&CommandLine::action, Action::print_version>},
    Option{"help", "", "print this text", set<&CommandLine::action, Action::print_help>},
};

const Option* find_option(std::string_view name)
{
    for (const Option& option : options) {
        if (option.name == name)
            return &option;
    }
    return nullptr;
}

/// BACK_END and RECORD_ID behind --accounting.
Verdict take_name(CommandLine& line, std::string_view word)
{
    std::string& back_end = line.accounting.back_end;
    std::string& name = back_end.empty() ? back_end : line.accounting.record_id;
    if (line.action != Action::accounting || !name.empty() || word.empty() || word.starts_with('-'))
        return Verdict::refused;
    name = word;
    return Verdict::taken;
}

Error unknown(std::string_view word)
{
    std::array<std::string_view, options.size()> names;
    for (std::size_t i = 0; i < options.size(); ++i)
        names[i] = options[i].name;
    const std::string_view bare = word.substr(std::min(word.size(), word.find_first_not_of('-')));
    const std::string_view near = text::nearest(bare.substr(0, bare.find('=')), names);
    return invalid(
        fmt::format("unknown option {}; {}", text::printable(word),
                    near.empty() ? "see --help" : fmt::format("did you mean --{}?", near)));
}

/// A setting of the plugin to check.
Result<void> take_setting(CommandLine& line, std::string_view word)
{
    const std::size_t equals = word.find('=');
    if (equals == word.npos || equals == 0)
        return invalid(fmt::format("--check-plugin {}: {} is not KEY=VALUE",
                                   text::printable(line.plugin_file), text::printable(word)));
    line.plugin_settings.push_back(
        {std::string(word.substr(0, equals)), std::string(word.substr(equals + 1)), {}});
    return {};
}

/// A word that is no option.
Result<void> take_word(CommandLine& line, std::string_view word)
{
    if (line.action == Action::check_plugin)
        return take_setting(line, word);
    if (take_name(line, word) == Verdict::taken)
        return {};
    return unknown(word);
}

} // namespace

Result<CommandLine> parse_command_line(std::span<const char* const> words)
{
    CommandLine line;
    for (std::size_t i = 0; i < words.size(); ++i) {
        const std::string_view word = words[i];
        if (!word.starts_with("--")) {
            if (const Result<void> taken = take_word(line, word); !taken)
                return taken.error();
            continue;
        }
        const std::size_t equals = word.find('=');
        const Option* const option =
            find_option(word.substr(2, equals == word.npos ? word.npos : equals - 2));
        if (option == nullptr)
            return unknown(word);
        std::string_view value;
        if (equals != word.npos)
            value = word.substr(equals + 1);
        else if (!option->argument.empty() && i + 1 < words.size())
            value = words[++i];
        if (option->argument.empty() && equals != word.npos)
            return invalid(fmt::format("--{} takes no value", option->name));
        if (option->take(line, value) == Verdict::refused)
            return invalid(fmt::format("--{} {}: must be {}", option->name, text::printable(value),
                                       option->argument));
    }
    return line;
}

std::string usage()
{
    std::string text = "usage: mediaproxyd [options]\n\n"
                       "Relays the media of SIP calls for OpenSIPS and Kamailio.\n\n";
    for (const Option& option : options) {
        const std::string name = fmt::format("--{}{}{}", option.name,
                                             option.argument.empty() ? "" : "=", option.argument);
        text += fmt::format("  {:<30}{}{}\n", name,
                            name.size() > 28 ? "\n" + std::string(32, ' ') : "", option.help);
    }
    return text + "\nSee mediaproxyd(8) and mediaproxyd.toml(5).\n";
}

} // namespace mediaproxy::app
