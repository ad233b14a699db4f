// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/config.hpp"

#include <algorithm>
#include <filesystem>

namespace mediaproxy::config
{

namespace
{

PluginTable find_table(const std::vector<PluginTable>& tables, std::string_view name)
{
    const auto found = std::find_if(tables.begin(), tables.end(),
                                    [&](const PluginTable& table) { return table.name == name; });
    if (found != tables.end())
        return *found;
    return {std::string(name), std::string(name), {}, {}};
}

} // namespace

Config::Config() : plugin_dir(MEDIAPROXYD_PLUGIN_DIR)
{
    const net::Address any = net::Address::v4({0, 0, 0, 0});
    dispatcher.listen = {{any, 25060}};
    dispatcher.management.listen = {{net::Address::v4({127, 0, 0, 1}), 25061}};
    dispatcher.socket_mode = 0660;
}

PluginTable Config::accounting_table(std::string_view name) const
{
    return find_table(accounting, name);
}

PluginTable Config::forwarding_table(std::string_view name) const
{
    return find_table(forwarding, name);
}

std::string Config::certs_path() const
{
    return (std::filesystem::path(folder) / tls.certs_path).string();
}

} // namespace mediaproxy::config
