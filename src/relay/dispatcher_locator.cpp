// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/dispatcher_locator.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace mediaproxy::relay
{

namespace
{

std::string name_of(const std::string& host, net::Port port)
{
    return fmt::format("{}:{}", host, port);
}

} // namespace

/// What the look-ups of several hosts brought, in the order of the hosts.
struct DispatcherLocator::Gathering {
    std::vector<std::string> hosts;
    std::vector<std::vector<net::Address>> addresses;
    std::size_t open = 0;
    bool failed = false;
};

DispatcherLocator::DispatcherLocator(asio::io_context& io,
                                     std::vector<Options::Dispatcher> dispatchers, Seconds interval,
                                     std::unique_ptr<Resolver> resolver)
    : interval_(interval), timer_(io), alive_(std::make_shared<bool>(true)),
      resolver_(std::move(resolver))
{
    for (auto& dispatcher : dispatchers) {
        Entry entry{std::move(dispatcher), {}, {}};
        if (auto address = net::Address::parse(entry.dispatcher.host))
            entry.targets = {{name_of(entry.dispatcher.host, entry.dispatcher.port),
                              {*address, entry.dispatcher.port}}};
        entries_.push_back(std::move(entry));
    }
}

DispatcherLocator::~DispatcherLocator()
{
    stop();
}

bool DispatcherLocator::needs_resolver(const std::vector<Options::Dispatcher>& dispatchers)
{
    return std::any_of(dispatchers.begin(), dispatchers.end(), [](const auto& dispatcher) {
        return !net::Address::parse(dispatcher.host);
    });
}

void DispatcherLocator::start(Handler on_change)
{
    on_change_ = std::move(on_change);
    tell();
    look_up_all();
}

void DispatcherLocator::stop()
{
    *alive_ = false;
    timer_.cancel();
}

void DispatcherLocator::look_up_all()
{
    if (!resolver_)
        return;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
        if (!net::Address::parse(entries_[i].dispatcher.host))
            look_up(i);
    }
    timer_.expires_after(interval_);
    timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (!error && *alive)
            look_up_all();
    });
}

void DispatcherLocator::look_up(std::size_t index)
{
    const std::string& host = entries_[index].dispatcher.host;
    // A name without a dot is a host in the hosts file or in this network, not a domain.
    if (host.find('.') == std::string::npos) {
        look_up_hosts(index, {host});
        return;
    }
    resolver_->services("_sip._udp." + host, [this, index, host](const auto& hosts) {
        if (!hosts && !entries_[index].targets.empty()) {
            failed(index, hosts.error().message);
            return;
        }
        const bool is_domain = hosts && !hosts->empty();
        look_up_hosts(index, is_domain ? *hosts : std::vector<std::string>{host});
    });
}

void DispatcherLocator::look_up_hosts(std::size_t index, std::vector<std::string> hosts)
{
    auto all = std::make_shared<Gathering>();
    all->hosts = std::move(hosts);
    all->addresses.resize(all->hosts.size());
    all->open = all->hosts.size();
    for (std::size_t i = 0; i < all->hosts.size(); ++i) {
        resolver_->addresses(all->hosts[i], [this, index, all, i](const auto& addresses) {
            if (addresses)
                all->addresses[i] = *addresses;
            else
                failed(index, addresses.error().message);
            all->failed = all->failed || !addresses;
            if (--all->open == 0)
                gathered(index, *all);
        });
    }
}

/// Of a host with several addresses the one in use stays; what could not be asked stays, too.
void DispatcherLocator::gathered(std::size_t index, const Gathering& all)
{
    std::vector<DispatcherTarget> targets;
    const Entry& entry = entries_[index];
    for (std::size_t i = 0; i < all.hosts.size(); ++i) {
        const std::string name = name_of(all.hosts[i], entry.dispatcher.port);
        const auto& addresses = all.addresses[i];
        const auto still_good = [&](const DispatcherTarget& target) {
            return target.name == name &&
                   (all.failed || std::find(addresses.begin(), addresses.end(),
                                            target.endpoint.address) != addresses.end());
        };
        const auto known = std::find_if(entry.targets.begin(), entry.targets.end(), still_good);
        if (known != entry.targets.end())
            targets.push_back(*known);
        else if (!addresses.empty())
            targets.push_back({name, {addresses.front(), entry.dispatcher.port}});
    }
    found(index, std::move(targets));
}

void DispatcherLocator::found(std::size_t index, std::vector<DispatcherTarget> targets)
{
    Entry& entry = entries_[index];
    if (targets.empty()) {
        // Better the dispatchers of yesterday than none.
        failed(index, fmt::format("{} has no address", entry.dispatcher.host));
        return;
    }
    entry.last_failure.clear();
    entry.targets = std::move(targets);
    tell();
}

void DispatcherLocator::failed(std::size_t index, const std::string& why)
{
    Entry& entry = entries_[index];
    if (why != entry.last_failure)
        log::warning("dispatcher {}: {}; trying again every {} s", entry.dispatcher.host, why,
                     interval_.count());
    entry.last_failure = why;
}

void DispatcherLocator::tell()
{
    std::vector<DispatcherTarget> all;
    for (const Entry& entry : entries_) {
        for (const DispatcherTarget& target : entry.targets) {
            const bool is_told = std::any_of(all.begin(), all.end(), [&](const auto& told) {
                return told.endpoint == target.endpoint;
            });
            if (!is_told) // it would take our second connection for the first one come back
                all.push_back(target);
        }
    }
    if (std::exchange(told_once_, true) && all == told_)
        return;
    told_ = all;
    on_change_(told_);
}

} // namespace mediaproxy::relay
