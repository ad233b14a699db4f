// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/sql_options.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

namespace mediaproxy::plugin_support
{

namespace
{

constexpr std::array name_members{&TableNames::table, &TableNames::call_id, &TableNames::from_tag,
                                  &TableNames::to_tag, &TableNames::info};
static_assert(name_members.size() == table_keys.size());

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

std::string read_port(DatabaseAddress& address, std::string_view value)
{
    const auto [end, error] =
        std::from_chars(value.data(), value.data() + value.size(), address.port);
    if (error == std::errc{} && end == value.data() + value.size() && address.port != 0)
        return {};
    return "port: not a port: " + std::string(value);
}

std::string read_socket(DatabaseAddress& address, std::string_view value)
{
    address.host = value;
    return value.starts_with('/') ? "" : "socket: not a path from /: " + std::string(value);
}

std::string read_timeout(std::chrono::milliseconds& timeout, std::string_view key,
                         std::string_view value)
{
    timeout = parse_seconds(value).value_or(std::chrono::milliseconds(0));
    return timeout.count() > 0
               ? ""
               : std::string(key) +
                     ": not a number of seconds from 0.001 to 3600: " + std::string(value);
}

} // namespace

std::optional<std::chrono::milliseconds> parse_seconds(std::string_view text)
{
    double seconds = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (error != std::errc{} || end != text.data() + text.size() ||
        !(seconds >= 0 && seconds <= 3600))
        return std::nullopt;
    return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

std::string lower(std::string_view text)
{
    std::string result(text);
    for (char& c : result)
        c = (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
    return result;
}

Verdict apply(TableNames& names, std::string_view key, std::string_view value)
{
    const auto* const row = std::find(table_keys.begin(), table_keys.end(), key);
    if (row == table_keys.end())
        return std::nullopt;
    names.*name_members[static_cast<std::size_t>(row - table_keys.begin())] = value;
    if (is_identifier(value))
        return std::string();
    return std::string(key) + ": not a name of letters, digits and _: " + std::string(value);
}

Verdict apply(ServerOptions& options, std::string_view key, std::string_view value)
{
    static constexpr std::pair<std::string_view, std::string DatabaseAddress::*> texts[] = {
        {"host", &DatabaseAddress::host},
        {"user", &DatabaseAddress::user},
        {"password", &DatabaseAddress::password},
        {"database", &DatabaseAddress::database},
    };
    for (const auto& [name, member] : texts) {
        if (key != name)
            continue;
        options.address.*member = value;
        return std::string();
    }
    if (key == "port")
        return read_port(options.address, value);
    if (key == "socket")
        return read_socket(options.address, value);
    if (key == "connect_timeout")
        return read_timeout(options.connect_timeout, key, value);
    if (key == "statement_timeout")
        return read_timeout(options.statement_timeout, key, value);
    return std::nullopt;
}

std::string apply_dburi(ServerOptions& options, std::span<const mp_setting> settings,
                        std::initializer_list<std::string_view> schemes, const ApplyOwn& own)
{
    const auto setting = std::find_if(settings.begin(), settings.end(), [](const mp_setting& each) {
        return each.key == std::string_view("dburi");
    });
    if (setting == settings.end())
        return {};
    auto parsed = parse_dburi(setting->value);
    if (const auto* wrong = std::get_if<std::string>(&parsed))
        return "dburi: " + *wrong;
    options.address = std::get<DatabaseAddress>(std::move(parsed));
    if (std::find(schemes.begin(), schemes.end(), options.address.scheme) == schemes.end())
        return "dburi: " + options.address.scheme + ":// is not for this plugin, but " +
               std::string(*schemes.begin()) + "://";
    for (const auto& [key, value] : std::exchange(options.address.options, {})) {
        Verdict verdict = apply(options, key, value);
        if (!verdict && own)
            verdict = own(key, value);
        if (!verdict)
            return "dburi: unknown option " + key;
        if (!verdict->empty())
            return "dburi: " + *verdict;
    }
    return {};
}

std::string find_repeated(const TableNames& names)
{
    std::array columns{std::string("id"),     std::string("record_id"), lower(names.call_id),
                       lower(names.from_tag), lower(names.to_tag),      lower(names.info)};
    std::sort(columns.begin(), columns.end());
    const auto* const twice = std::adjacent_find(columns.begin(), columns.end());
    return twice == columns.end() ? std::string() : "column name used twice: " + *twice;
}

} // namespace mediaproxy::plugin_support
