// SPDX-License-Identifier: GPL-2.0-or-later
#include "flow_maker.hpp"

#include <algorithm>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "support/failure.hpp"

namespace forwarding_nftables
{

using mediaproxy::plugin_support::fail;

namespace
{

constexpr std::uint8_t dscp_untouched = 255;

/// Why packets to or from this endpoint cannot be forwarded by the kernel; null when they can.
const char* objection_to(const mp_endpoint& endpoint)
{
    if (endpoint.port == 0)
        return "has an endpoint without a port";
    if (endpoint.family == 4) {
        std::uint32_t address = 0;
        std::memcpy(&address, endpoint.address, sizeof address);
        address = ntohl(address);
        if (address >> 24 == IN_LOOPBACKNET)
            return "has a loopback address, which the kernel does not route";
        return address == INADDR_ANY || address >= INADDR_UNSPEC_GROUP
                   ? "has an address that is not one host's"
                   : nullptr;
    }
    in6_addr address{};
    std::memcpy(&address, endpoint.address, sizeof address);
    if (IN6_IS_ADDR_LOOPBACK(&address))
        return "has a loopback address, which the kernel does not route";
    if (IN6_IS_ADDR_LINKLOCAL(&address))
        return "has a link-local address, which the kernel does not route";
    return IN6_IS_ADDR_UNSPECIFIED(&address) || IN6_IS_ADDR_MULTICAST(&address)
               ? "has an address that is not one host's"
               : nullptr;
}

const char* objection_to(const mp_flow& flow)
{
    const mp_endpoint* const endpoints[] = {&flow.caller_remote, &flow.caller_local,
                                            &flow.callee_local, &flow.callee_remote};
    const std::uint8_t family = flow.caller_remote.family;
    if (family != 4 && family != 6)
        return "has an endpoint that is not known";
    for (const mp_endpoint* endpoint : endpoints) {
        if (endpoint->family != family)
            return "is between IPv4 and IPv6, which nftables cannot forward";
        if (const char* objection = objection_to(*endpoint); objection != nullptr)
            return objection;
    }
    if (flow.dscp != dscp_untouched)
        return "wants a DSCP, which this back end does not set";
    return flow.mark != 0 ? "wants a packet mark, which this back end does not set" : nullptr;
}

void write_data(Family family, Way& way, bool routed)
{
    way.data = make_data(family, way.out_source, way.out_destination, routed ? &way.hop : nullptr);
}

} // namespace

std::string sentence_of(mp_flow_id id, const std::string& text)
{
    return "flow " + std::to_string(id) + ": " + text;
}

std::unique_ptr<Flow> make_flow(const mp_flow& wanted, Routes* routes, mp_status& status,
                                mp_error& error)
{
    if (const char* objection = objection_to(wanted); objection != nullptr) {
        status = fail(&error, MP_E_UNSUPPORTED, sentence_of(wanted.id, objection));
        return nullptr;
    }
    auto flow = std::make_unique<Flow>();
    flow->id = wanted.id;
    flow->family = wanted.caller_remote.family == 4 ? Family::ipv4 : Family::ipv6;
    Way& from_caller = flow->ways[MP_SIDE_CALLER];
    Way& from_callee = flow->ways[MP_SIDE_CALLEE];
    from_caller.key = make_key(flow->family, wanted.caller_remote, wanted.caller_local);
    from_caller.out_source = wanted.callee_local;
    from_caller.out_destination = wanted.callee_remote;
    from_callee.key = make_key(flow->family, wanted.callee_remote, wanted.callee_local);
    from_callee.out_source = wanted.caller_local;
    from_callee.out_destination = wanted.caller_remote;
    for (Way& way : flow->ways)
        write_data(flow->family, way, false);
    status = routes != nullptr ? route_flow(*flow, *routes, error) : MP_OK;
    return status == MP_OK ? std::move(flow) : nullptr;
}

mp_status route_flow(Flow& flow, Routes& routes, mp_error& error)
{
    for (Way& way : flow.ways) {
        mp_error reason{};
        const mp_status status =
            routes.resolve(flow.family, way.out_source, way.out_destination, way.hop, reason);
        if (status != MP_OK)
            return fail(&error, status, sentence_of(flow.id, reason.message));
        write_data(flow.family, way, true);
    }
    return MP_OK;
}

} // namespace forwarding_nftables
