// SPDX-License-Identifier: GPL-2.0-or-later
#include <memory>
#include <utility>

#include <mysql.h>

#include <mediaproxy/accounting.h>

#include "driver.hpp"
#include "options.hpp"
#include "support/accounting_edge.hpp"
#include "support/record_table.hpp"

namespace mediaproxy::accounting_mysql
{

namespace
{

using plugin_support::RecordTable;

plugin_support::Made<RecordTable> make(plugin_support::PluginSettings settings,
                                       plugin_support::PluginHost host)
{
    // Here, on the core thread: done by the first connections it would be a race between them.
    if (mysql_library_init(0, nullptr, nullptr) != 0)
        return std::string("libmariadb cannot be used");
    auto options = read_options(settings);
    if (auto* wrong = std::get_if<std::string>(&options))
        return std::move(*wrong);
    auto& chosen = std::get<Options>(options);
    return std::make_unique<RecordTable>(
        std::make_unique<Driver>(std::move(chosen.server), std::move(chosen.tls)),
        std::move(chosen.names), std::move(host.log));
}

} // namespace

} // namespace mediaproxy::accounting_mysql

const mp_plugin mediaproxy_plugin = {
    MP_ABI_VERSION,
    sizeof(mp_plugin),
    "mysql",
    "1.0",
    "accounting records in a table of a MariaDB or MySQL server",
    mediaproxy::accounting_mysql::setting_keys.data(),
    mediaproxy::plugin_support::AccountingEdge<mediaproxy::plugin_support::RecordTable,
                                               mediaproxy::accounting_mysql::make>::get_interface,
};
