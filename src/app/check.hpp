// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"
#include "plugin/source.hpp"
#include "tls/context.hpp"

namespace mediaproxy::app
{

/// The plugin behind a table, with what it is told about this daemon.
plugin::PluginSource plugin_source(const config::Config& config, plugin::Kind kind,
                                   const config::PluginTable& table);

/// The contexts of the roles that need one; null: no listener or link of that role uses TLS.
struct TlsContexts {
    std::shared_ptr<tls::Context> dispatcher, relay;
};
Result<TlsContexts> load_certificates(const config::Config& config);

/// Everything that can be known to be wrong before anything is opened: contradictions, plugins and
/// their settings, certificates; one sentence each.
std::vector<std::string> find_problems(const config::Config& config);

} // namespace mediaproxy::app
