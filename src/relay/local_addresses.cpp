// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/local_addresses.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/core.h>

#include "relay/media_socket.hpp"

namespace mediaproxy::relay
{

namespace
{

constexpr Seconds route_kept{10};
constexpr std::size_t most_routes = 4096;

const net::Address* of_family(const std::vector<net::Address>& addresses, net::Family family)
{
    const auto found =
        std::find_if(addresses.begin(), addresses.end(),
                     [&](const net::Address& address) { return address.family() == family; });
    return found == addresses.end() ? nullptr : &*found;
}

/// Two addresses that are somewhere on the Internet: the way to them is the default route.
std::vector<net::Address> default_route_addresses()
{
    std::vector<net::Address> addresses;
    for (const auto* far : {"198.41.0.4", "2001:503:ba3e::2:30"}) {
        const net::Address source = source_address_toward(*net::Address::parse(far));
        if (source)
            addresses.push_back(source);
    }
    return addresses;
}

Result<void> check_bind(const net::Address& address)
{
    const UniqueFd fd = open_udp(address.family());
    if (!fd)
        return Error{Error::Code::io, fmt::format("relay_ip {}: no UDP socket: {}",
                                                  address.to_string(), strerror(errno))};
    if (const int error = bind_udp(fd.get(), {address, 0}); error != 0)
        return Error{Error::Code::invalid, fmt::format("relay_ip {} cannot be bound: {}",
                                                       address.to_string(), strerror(error))};
    return {};
}

} // namespace

Result<LocalAddresses> LocalAddresses::create(const Options& options)
{
    LocalAddresses local;
    local.bind_ = options.relay_ip;
    local.advertised_ = options.advertised_ip;
    local.detect_ = options.auto_detect_interfaces && options.advertised_ip.empty();
    if (local.bind_.empty())
        local.bind_ = default_route_addresses();
    if (local.bind_.empty())
        return Error{Error::Code::invalid,
                     "relay_ip is not set and this host has no default route to take it from"};
    for (const net::Address& address : local.bind_) {
        if (address.is_unspecified() || address.is_multicast())
            return invalid(
                fmt::format("relay_ip {} is not the address of an interface", address.to_string()));
        if (of_family(local.bind_, address.family()) != &address)
            return invalid("relay_ip: one address of each family is enough");
        if (auto bound = check_bind(address); !bound)
            return std::move(bound).error();
    }
    for (const net::Address& address : local.advertised_) {
        if (of_family(local.bind_, address.family()) == nullptr)
            return invalid(fmt::format("advertised_ip {}: there is no relay_ip of that family",
                                       address.to_string()));
    }
    return local;
}

session::LocalAddress LocalAddresses::fixed(const net::Address& bind) const noexcept
{
    const net::Address* told = of_family(advertised_, bind.family());
    return {bind, told != nullptr ? *told : bind};
}

Result<session::LocalAddress> LocalAddresses::choose(net::Family family, const net::Address& toward,
                                                     TimePoint now)
{
    const net::Address* bind = of_family(bind_, family);
    if (bind == nullptr)
        return Error{Error::Code::unsupported, fmt::format("this relay has no IPv{} address",
                                                           family == net::Family::v6 ? 6 : 4)};
    if (!detect_ || toward.family() != family || toward.is_unspecified())
        return fixed(*bind);
    if (const auto known = routes_.find(toward);
        known != routes_.end() && known->second.until > now)
        return session::LocalAddress{known->second.source, known->second.source};
    const net::Address source = source_address_toward(toward);
    if (!source)
        return fixed(*bind);
    if (routes_.size() >= most_routes)
        routes_.clear();
    routes_[toward] = {source, now + route_kept};
    return session::LocalAddress{source, source};
}

std::vector<net::Address> LocalAddresses::told() const
{
    std::vector<net::Address> addresses;
    for (const net::Address& bind : bind_)
        addresses.push_back(fixed(bind).advertised);
    return addresses;
}

} // namespace mediaproxy::relay
