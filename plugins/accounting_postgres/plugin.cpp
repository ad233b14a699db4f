// SPDX-License-Identifier: GPL-2.0-or-later
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

plugin_support::Made<plugin_support::RecordTable> make(plugin_support::PluginSettings settings,
                                                       plugin_support::PluginHost host)
{
    return plugin_support::make_record_table<Driver>(read_options(settings), std::move(host.log));
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
