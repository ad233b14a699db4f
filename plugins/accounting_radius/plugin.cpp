// SPDX-License-Identifier: GPL-2.0-or-later
#include <memory>
#include <utility>
#include <variant>

#include "backend.hpp"
#include "settings.hpp"
#include "support/accounting_edge.hpp"

namespace mediaproxy::accounting_radius
{

namespace
{

plugin_support::Made<Backend> make(plugin_support::PluginSettings settings,
                                   plugin_support::PluginHost host)
{
    auto read = read_settings(settings);
    if (auto* failure = std::get_if<Failure>(&read))
        return std::move(failure->sentence);
    return std::make_unique<Backend>(std::get<Settings>(std::move(read)), std::move(host.log));
}

} // namespace

using Edge = plugin_support::AccountingEdge<Backend, make>;

} // namespace mediaproxy::accounting_radius

const mp_plugin mediaproxy_plugin = {
    MP_ABI_VERSION,
    sizeof(mp_plugin),
    "radius",
    "1.0",
    "accounting records to RADIUS servers (RFC 2866)",
    mediaproxy::accounting_radius::setting_keys,
    mediaproxy::accounting_radius::Edge::get_interface,
};
