// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <array>
#include <cstring>
#include <fmt/format.h>
#include <set>

#include "base/text.hpp"
#include "conformance/checks.hpp"
#include "conformance/exported_symbols.hpp"
#include "conformance/guest.hpp"
#include "conformance/surroundings.hpp"

namespace mediaproxy::conformance
{

namespace
{

void loads(Stage& stage)
{
    stage.situation("it was loaded");
    const Surroundings before = Surroundings::look();
    const Guest guest(stage);
    for (const std::string& change : Surroundings::look().find_changes(before))
        stage.fault("loading it " + change);
}

/// AddressSanitizer marks each global variable with one.
bool is_of_sanitizer(std::string_view symbol)
{
    return symbol.starts_with("__odr_asan");
}

void exports_one_symbol(Stage& stage)
{
    const auto symbols = list_exported_symbols(stage.subject().file);
    if (!symbols)
        return stage.warn(symbols.error().message);
    std::string strong, weak;
    for (const ExportedSymbol& symbol : *symbols) {
        if (symbol.name == MP_PLUGIN_SYMBOL || is_of_sanitizer(symbol.name))
            continue;
        std::string& names = symbol.weak ? weak : strong;
        if (names.size() < 200)
            names += (names.empty() ? "" : ", ") + symbol.name;
    }
    if (!strong.empty())
        stage.fault(fmt::format("exports more than " MP_PLUGIN_SYMBOL
                                ": {}; the daemon's libraries may take the place of these: link "
                                "with a version script",
                                strong));
    if (!weak.empty())
        stage.warn(fmt::format("exports weak symbols: {}; link with a version script", weak));
}

void require_line(Stage& stage, std::string_view member, std::string_view text)
{
    if (text.empty() || text.size() > 200 || !text::is_utf8(text) ||
        text.find_first_of("\r\n\t") != text.npos)
        stage.fault(
            fmt::format("its {} is not one line of text: {}", member, text::printable(text)));
}

void describes_itself(Stage& stage)
{
    const Guest guest(stage);
    require_line(stage, "version", guest.plugin().version);
    require_line(stage, "description", guest.plugin().description);
    if ((guest.plugin().abi & 0xffffU) > MP_ABI_MINOR)
        stage.warn(
            fmt::format("is made for plugin ABI 1.{}, later than this daemon's 1.{}: what is "
                        "new in it is not looked at",
                        guest.plugin().abi & 0xffffU, MP_ABI_MINOR));
}

bool is_key(std::string_view key)
{
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-';
    };
    return !key.empty() && key.size() <= 64 && std::all_of(key.begin(), key.end(), allowed);
}

void has_sane_keys(Stage& stage)
{
    constexpr std::size_t most_keys = 1000;
    const Guest guest(stage);
    stage.situation("setting_keys was read up to its NULL");
    std::set<std::string_view> seen;
    std::size_t count = 0;
    for (const char* const* key = guest.plugin().setting_keys; *key != nullptr; ++key) {
        if (++count > most_keys)
            stage.give_up("its setting_keys has no NULL at its end");
        if (!is_key(*key))
            stage.fault(
                fmt::format("the setting key \"{}\" is not made of letters, digits, _ and -",
                            text::printable(*key)));
        if (!seen.insert(*key).second)
            stage.fault(fmt::format("the setting key {} is there twice", *key));
        if (std::strcmp(*key, "plugin") == 0)
            stage.fault("the setting key plugin is the daemon's: it names the plugin of a table");
    }
}

void knows_what_it_does_not_know(Stage& stage)
{
    constexpr std::array ids{"",
                             "mp.accounting",
                             "mp.accounting/2",
                             "mp.accounting/10",
                             "mp.forwarding",
                             "mp.forwarding/2",
                             "mp.forwarding/10",
                             "mp.unheard-of/1"};
    const Guest guest(stage);
    for (const char* id : ids) {
        if (guest.interface(id) != nullptr)
            stage.fault(fmt::format("get_interface(\"{}\") is not NULL, though there is no such "
                                    "interface for it to know",
                                    id));
    }
}

void offers_its_interface(Stage& stage)
{
    const Guest guest(stage);
    const bool accounting = stage.subject().kind == plugin::Kind::accounting;
    const char* const id = accounting ? MP_ACCOUNTING : MP_FORWARDING;
    const void* const first = guest.interface(id);
    const auto found = plugin::find_interface(guest.plugin(), stage.subject().kind);
    if (!found)
        stage.give_up(found.error().message);
    if (*found != first)
        stage.fault(fmt::format("get_interface(\"{}\") is not the same each time", id));
    if (accounting && guest.accounting().reserved != 0)
        stage.fault("the reserved member of its mp_accounting is not 0");
}

constexpr std::array odd_values{"", "0", "-1", "99999999999999999999",
                                "no such \xe2\x98\x83\t'\"\\"};

} // namespace

std::vector<Check> general_checks()
{
    return {
        {"the daemon loads the file", loads, true},
        {"nothing but mediaproxy_plugin is exported", exports_one_symbol},
        {"version and description are a line of text", describes_itself},
        {"the setting keys can stand in a configuration", has_sane_keys},
        {"get_interface knows no other interfaces", knows_what_it_does_not_know},
        {"get_interface offers all functions", offers_its_interface, true},
    };
}

void for_each_odd_setting(
    Stage& stage, const mp_plugin& plugin,
    const std::function<void(std::span<const mp_setting>, std::string_view key)>& judge)
{
    const std::string long_value(10000, 'y');
    std::vector<const char*> values(odd_values.begin(), odd_values.end());
    values.push_back(long_value.c_str());
    std::vector<const char*> keys{"check_plugin_knows_no_such_key"};
    for (const char* const* key = plugin.setting_keys; *key != nullptr; ++key)
        keys.push_back(*key);
    for (const char* key : keys) {
        std::vector<mp_setting> settings;
        for (const plugin::Setting& other : stage.subject().settings) {
            if (other.key != key)
                settings.push_back({other.key.c_str(), other.value.c_str()});
        }
        settings.push_back({});
        for (const char* value : values) {
            settings.back() = {key, value};
            stage.situation(fmt::format("create got {} = \"{}\"", key, text::printable(value, 40)));
            judge(settings, key);
        }
    }
}

void look_for_leftovers(Stage& stage, const std::function<void()>& cycle)
{
    constexpr int cycles = 3;
    const Surroundings untouched = Surroundings::look();
    // Once for what libraries keep for good.
    cycle();
    for (const std::string& change : Surroundings::look().find_changes(untouched))
        stage.fault(change);
    const Surroundings before = Surroundings::look();
    for (int i = 0; i < cycles; ++i)
        cycle();
    std::vector<std::string> leftovers;
    // A thread that was joined may be seen for a moment longer.
    stage.await([&] {
        leftovers = Surroundings::look().find_leftovers(before);
        return leftovers.empty();
    });
    for (const std::string& leftover : leftovers)
        stage.fault(fmt::format("{} after {} times create and destroy", leftover, cycles));
}

} // namespace mediaproxy::conformance
