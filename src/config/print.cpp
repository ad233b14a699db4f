// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "config/keys.hpp"
#include "config/load.hpp"

namespace mediaproxy::config
{

namespace
{

/// A key that stands several times is an array. Values are printed as texts: a plugin reads every
/// value in its canonical text anyway.
void print_settings(const std::vector<plugin::Setting>& settings, std::string& out)
{
    std::vector<std::string_view> printed;
    for (const plugin::Setting& setting : settings) {
        if (std::find(printed.begin(), printed.end(), setting.key) != printed.end())
            continue;
        printed.push_back(setting.key);
        std::vector<std::string> values;
        for (const plugin::Setting& other : settings) {
            if (other.key == setting.key)
                values.push_back(quote(other.value));
        }
        const bool one = values.size() == 1;
        out += fmt::format("{} = {}{}{}\n", setting.key, one ? "" : "[", fmt::join(values, ", "),
                           one ? "" : "]");
    }
}

void print_tables(std::string_view kind, const std::vector<PluginTable>& tables, std::string& out)
{
    for (const PluginTable& table : tables) {
        out += fmt::format("\n[{}.{}]\nplugin = {}\n", kind, table.name, quote(table.plugin));
        print_settings(table.settings, out);
    }
}

} // namespace

std::string print_config(const Config& config)
{
    std::string out;
    std::string_view table;
    for (const Key& key : keys()) {
        if (key.table != table)
            out += fmt::format("\n[{}]\n", key.table);
        table = key.table;
        out += fmt::format("{} = {}\n", key.name, key.print(config));
    }
    print_tables("accounting", config.accounting, out);
    print_tables("forwarding", config.forwarding, out);
    return out;
}

} // namespace mediaproxy::config
