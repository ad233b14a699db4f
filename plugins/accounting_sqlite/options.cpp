// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

namespace mediaproxy::accounting_sqlite
{

namespace
{

struct NameSetting {
    std::string_view key;
    std::string Options::*member;
};

constexpr std::array name_settings{
    NameSetting{"sessions_table", &Options::table},
    NameSetting{"callid_column", &Options::call_id_column},
    NameSetting{"fromtag_column", &Options::from_tag_column},
    NameSetting{"totag_column", &Options::to_tag_column},
    NameSetting{"info_column", &Options::info_column},
};

bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

bool is_identifier(std::string_view name)
{
    const auto allowed = [](char c) { return is_letter(c) || (c >= '0' && c <= '9'); };
    return !name.empty() && name.size() <= 64 && is_letter(name.front()) &&
           std::all_of(name.begin(), name.end(), allowed);
}

/// Seconds with decimals, at most an hour; negative when it is not a number.
std::chrono::milliseconds parse_seconds(std::string_view text)
{
    double seconds = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc{} || end != text.data() + text.size() || !(seconds <= 3600))
        return std::chrono::milliseconds(-1);
    return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

/// An empty sentence when the setting is right.
std::string apply(Options& options, std::string_view key, std::string_view value)
{
    if (key == "path") {
        options.path = value;
        return {};
    }
    if (key == "busy_timeout") {
        options.busy_timeout = parse_seconds(value);
        if (options.busy_timeout.count() >= 0)
            return {};
        return "busy_timeout: not a number of seconds from 0 to 3600: " + std::string(value);
    }
    const auto name = std::find_if(name_settings.begin(), name_settings.end(),
                                   [&](const NameSetting& row) { return row.key == key; });
    if (name == name_settings.end())
        return std::string(key) + ": unknown setting";
    options.*name->member = value;
    if (is_identifier(value))
        return {};
    return std::string(key) + ": not a name of letters, digits and _: " + std::string(value);
}

std::string lower(std::string_view text)
{
    std::string result(text);
    for (char& c : result)
        c = (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
    return result;
}

/// SQLite compares names without case: the same one twice would be one column.
std::string find_repeated(const Options& options)
{
    std::array names{std::string("id"),
                     std::string("record_id"),
                     lower(options.call_id_column),
                     lower(options.from_tag_column),
                     lower(options.to_tag_column),
                     lower(options.info_column)};
    std::sort(names.begin(), names.end());
    const auto twice = std::adjacent_find(names.begin(), names.end());
    return twice == names.end() ? std::string() : "column name used twice: " + *twice;
}

} // namespace

std::variant<Options, std::string> read_options(std::span<const mp_setting> settings,
                                                std::string_view state_dir)
{
    Options options;
    for (const mp_setting& setting : settings) {
        if (std::string wrong = apply(options, setting.key, setting.value); !wrong.empty())
            return wrong;
    }
    if (options.path.empty() && state_dir.empty())
        return std::string("path: not set, and the daemon has no state folder");
    if (options.path.empty())
        options.path = std::string(state_dir) + "/sessions.sqlite";
    if (std::string wrong = find_repeated(options); !wrong.empty())
        return wrong;
    return options;
}

} // namespace mediaproxy::accounting_sqlite
