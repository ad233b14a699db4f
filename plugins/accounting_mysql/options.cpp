// SPDX-License-Identifier: GPL-2.0-or-later
#include "options.hpp"

#include <string_view>
#include <utility>

namespace mediaproxy::accounting_mysql
{

namespace
{

using plugin_support::Verdict;

std::string read_mode(std::optional<Tls>& use, std::string_view value)
{
    static constexpr std::pair<std::string_view, Tls> modes[] = {
        {"off", Tls::off}, {"on", Tls::on}, {"verify", Tls::verify}};
    for (const auto& [name, mode] : modes) {
        if (value != name)
            continue;
        use = mode;
        return {};
    }
    return "tls: not off, on or verify: " + std::string(value);
}

Verdict apply(TlsOptions& tls, std::string_view key, std::string_view value)
{
    static constexpr std::pair<std::string_view, std::string TlsOptions::*> paths[] = {
        {"tls_ca", &TlsOptions::ca},
        {"tls_cert", &TlsOptions::cert},
        {"tls_key", &TlsOptions::key}};
    if (key == "tls")
        return read_mode(tls.use, value);
    for (const auto& [name, member] : paths) {
        if (key != name)
            continue;
        tls.*member = value;
        return std::string();
    }
    return std::nullopt;
}

std::string apply(Options& options, std::string_view key, std::string_view value)
{
    if (key == "dburi")
        return {};
    if (const Verdict verdict = plugin_support::apply(options.server, key, value))
        return *verdict;
    if (const Verdict verdict = apply(options.tls, key, value))
        return *verdict;
    return plugin_support::apply(options.names, key, value)
        .value_or(std::string(key) + ": unknown setting");
}

} // namespace

std::variant<Options, std::string> read_options(std::span<const mp_setting> settings)
{
    Options options;
    const auto tls = [&](std::string_view key, std::string_view value) {
        return apply(options.tls, key, value);
    };
    std::string wrong = apply_dburi(options.server, settings, {"mysql", "mariadb"}, tls);
    for (const mp_setting& setting : settings)
        if (wrong.empty())
            wrong = apply(options, setting.key, setting.value);
    if (wrong.empty() && options.server.address.database.empty())
        wrong = "database: not set, neither by itself nor in dburi";
    if (wrong.empty() && options.tls.cert.empty() != options.tls.key.empty())
        wrong = "tls_cert and tls_key go together";
    if (wrong.empty())
        wrong = find_repeated(options.names);
    if (!wrong.empty())
        return wrong;
    return options;
}

} // namespace mediaproxy::accounting_mysql
