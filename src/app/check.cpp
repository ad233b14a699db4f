// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/check.hpp"

#include <algorithm>
#include <asio/io_context.hpp>
#include <filesystem>
#include <fmt/format.h>

#include "config/load.hpp"
#include "plugin/accounting_backend.hpp"
#include "plugin/library.hpp"

namespace mediaproxy::app
{

namespace
{

/// As the start does it: an instance reads its settings and does no more yet.
void check_accounting(const config::Config& config, std::vector<std::string>& problems)
{
    asio::io_context io;
    for (const std::string& name : config.dispatcher.accounting) {
        const auto made = plugin::AccountingBackend::load(
            io, plugin_source(config, plugin::Kind::accounting, config.accounting_table(name)));
        if (!made)
            problems.push_back(made.error().message);
    }
}

/// One of the back ends must be there; and the table of one must have the right keys. An instance
/// would look at the host, and may refuse it.
void check_forwarding(const config::Config& config, std::vector<std::string>& problems)
{
    std::vector<std::string> absent, wrong;
    for (const std::string& name : config.relay.forwarding) {
        const bool has_table =
            std::any_of(config.forwarding.begin(), config.forwarding.end(),
                        [&](const config::PluginTable& table) { return table.name == name; });
        const auto kind = plugin::Kind::forwarding;
        const auto good =
            plugin::check(kind, plugin_source(config, kind, config.forwarding_table(name)));
        if (!good)
            (has_table ? wrong : absent).push_back(good.error().message);
    }
    problems.insert(problems.end(), wrong.begin(), wrong.end());
    if (absent.size() == config.relay.forwarding.size())
        problems.insert(problems.end(), absent.begin(), absent.end());
}

} // namespace

plugin::PluginSource plugin_source(const config::Config& config, plugin::Kind kind,
                                   const config::PluginTable& table)
{
    plugin::PluginSource source;
    source.dir = config.plugin_dir;
    source.name = table.plugin;
    source.instance = fmt::format("{}.{}", plugin::to_string(kind), table.name);
    source.settings = table.settings;
    source.folder = config.folder;
    source.host.version = MEDIAPROXYD_VERSION;
    source.host.owner = "mediaproxyd " + config.state_dir;
    std::error_code ignored;
    if (std::filesystem::is_directory(config.state_dir, ignored)) // not where nothing can be kept
        source.host.state_dir = config.state_dir;
    return source;
}

Result<TlsContexts> load_certificates(const config::Config& config)
{
    TlsContexts contexts;
    tls::Options options = config.tls;
    options.certs_path = config.certs_path();
    const dispatcher::Options::Management& management = config.dispatcher.management;
    const bool manages = management.enabled && management.use_tls && !management.listen.empty();
    if (has_dispatcher(config.role) && (!config.dispatcher.listen.empty() || manages)) {
        auto loaded = tls::Context::load(options, "dispatcher");
        if (!loaded)
            return loaded.error();
        contexts.dispatcher = *loaded;
    }
    if (has_relay(config.role) && !config.relay.dispatchers.empty()) {
        auto loaded = tls::Context::load(options, "relay");
        if (!loaded)
            return loaded.error();
        contexts.relay = *loaded;
    }
    return contexts;
}

std::vector<std::string> find_problems(const config::Config& config)
{
    std::vector<std::string> problems = contradictions(config);
    if (has_dispatcher(config.role))
        check_accounting(config, problems);
    if (has_relay(config.role))
        check_forwarding(config, problems);
    if (const auto certificates = load_certificates(config); !certificates)
        problems.push_back(certificates.error().message);
    return problems;
}

} // namespace mediaproxy::app
