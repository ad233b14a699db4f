// SPDX-License-Identifier: GPL-2.0-or-later
#include <memory>
#include <utility>

#include <mediaproxy/accounting.h>

#include "driver.hpp"
#include "options.hpp"
#include "support/accounting_edge.hpp"
#include "support/record_table.hpp"

namespace mediaproxy::accounting_postgres
{

namespace
{

using plugin_support::RecordTable;

plugin_support::Made<RecordTable> make(plugin_support::PluginSettings settings,
                                       plugin_support::PluginHost host)
{
    auto options = read_options(settings);
    if (auto* wrong = std::get_if<std::string>(&options))
        return std::move(*wrong);
    auto& chosen = std::get<Options>(options);
    plugin_support::TableNames names = chosen.names;
    return std::make_unique<RecordTable>(std::make_unique<Driver>(std::move(chosen)),
                                         std::move(names), std::move(host.log));
}

} // namespace

} // namespace mediaproxy::accounting_postgres

const mp_plugin mediaproxy_plugin = {
    MP_ABI_VERSION,
    sizeof(mp_plugin),
    "postgres",
    "1.0",
    "accounting records in a table of a PostgreSQL database",
    mediaproxy::accounting_postgres::setting_keys.data(),
    mediaproxy::plugin_support::AccountingEdge<
        mediaproxy::plugin_support::RecordTable,
        mediaproxy::accounting_postgres::make>::get_interface,
};
