// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <fmt/format.h>

#include "config/load.hpp"

namespace mediaproxy::config
{

namespace
{

void check_relay(const Config& config, std::vector<std::string>& found)
{
    const relay::Options& relay = config.relay;
    if (config.role == Role::relay && relay.dispatchers.empty())
        found.emplace_back("[relay] dispatchers: a relay alone needs at least one dispatcher");
    for (const net::Address& advertised : relay.advertised_ip) {
        const auto same_family = [&](const net::Address& address) {
            return address.family() == advertised.family();
        };
        if (!relay.relay_ip.empty() &&
            std::none_of(relay.relay_ip.begin(), relay.relay_ip.end(), same_family))
            found.push_back(fmt::format("[relay] advertised_ip: {} has no relay_ip of its family",
                                        advertised.to_string()));
    }
}

void check_dispatcher(const Config& config, std::vector<std::string>& found)
{
    const dispatcher::Options& dispatcher = config.dispatcher;
    if (config.role == Role::dispatcher && dispatcher.listen.empty())
        found.emplace_back("[dispatcher] listen: without a listener no relay can connect");
    if (dispatcher.attempt_timeout >= dispatcher.request_deadline)
        found.emplace_back("[dispatcher] attempt_timeout: must be below request_deadline, or no "
                           "second relay is ever tried");
    if (dispatcher.request_deadline >= dispatcher.relay_timeout)
        found.emplace_back("[dispatcher] relay_timeout: must be above request_deadline");
    for (auto name = dispatcher.accounting.begin(); name != dispatcher.accounting.end(); ++name) {
        if (std::find(dispatcher.accounting.begin(), name, *name) != name)
            found.push_back(fmt::format("[dispatcher] accounting: {} is named twice", *name));
    }
    if (!dispatcher.proxy.socket_path.empty() &&
        (dispatcher.proxy.reply_path == dispatcher.socket_path ||
         dispatcher.proxy.reply_path == dispatcher.proxy.socket_path))
        found.emplace_back("[dispatcher.proxy] reply_path: must be a socket of its own");
    const auto& management = dispatcher.management;
    if (management.enabled && management.listen.empty() && management.socket_path.empty())
        found.emplace_back("[dispatcher.management] listen, socket_path: enabled, but neither is "
                           "set");
}

} // namespace

std::vector<std::string> contradictions(const Config& config)
{
    std::vector<std::string> found;
    if (has_relay(config.role))
        check_relay(config, found);
    if (has_dispatcher(config.role))
        check_dispatcher(config, found);
    return found;
}

} // namespace mediaproxy::config
