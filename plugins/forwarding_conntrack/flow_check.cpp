// SPDX-License-Identifier: GPL-2.0-or-later
#include "flow_check.hpp"

#include <algorithm>
#include <string>

#include "support/failure.hpp"

namespace forwarding_conntrack
{
namespace
{

constexpr std::uint8_t dscp_untouched = 255;
constexpr std::uint32_t least_timeout_s = 30;
constexpr std::uint32_t usual_timeout_s = 120;

bool known(const mp_endpoint& endpoint)
{
    const auto* end = endpoint.address + address_size(endpoint);
    return (endpoint.family == 4 || endpoint.family == 6) && endpoint.port != 0 &&
           std::any_of(endpoint.address, end, [](std::uint8_t byte) { return byte != 0; });
}

/// Such packets never leave the host or the link: they cannot be forwarded.
bool stays_here(const mp_endpoint& endpoint)
{
    const std::uint8_t* address = endpoint.address;
    if (endpoint.family == 4)
        return address[0] == 127;
    const bool loopback =
        address[15] == 1 && std::all_of(address, address + 15, [](auto byte) { return byte == 0; });
    return loopback || (address[0] == 0xfe && (address[1] & 0xc0) == 0x80);
}

} // namespace

mp_status check_flow(const mp_flow& flow, mp_error& error)
{
    using mediaproxy::plugin_support::fail;
    const std::string name = "flow " + std::to_string(flow.id) + ": ";
    const mp_endpoint* ends[] = {&flow.caller_remote, &flow.caller_local, &flow.callee_local,
                                 &flow.callee_remote};
    for (const mp_endpoint* end : ends) {
        if (!known(*end))
            return fail(&error, MP_E_INVALID, name + "its endpoints are not usable");
    }
    for (const mp_endpoint* end : ends) {
        if (end->family != flow.caller_local.family)
            return fail(&error, MP_E_UNSUPPORTED, name + "one side speaks IPv4, the other IPv6");
        if (stays_here(*end))
            return fail(&error, MP_E_UNSUPPORTED,
                        name + "loopback and link-local addresses cannot be forwarded");
    }
    if (same(flow.caller_local, flow.callee_local))
        return fail(&error, MP_E_INVALID, name + "both sides have the same local port");
    if (flow.dscp != dscp_untouched)
        return fail(&error, MP_E_UNSUPPORTED, name + "a DSCP value cannot be set");
    if (flow.mark != 0)
        return fail(&error, MP_E_UNSUPPORTED, name + "a packet mark cannot be set");
    return MP_OK;
}

Flow to_flow(const mp_flow& flow)
{
    Flow result;
    result.id = flow.id;
    result.caller_remote = flow.caller_remote;
    result.caller_local = flow.caller_local;
    result.callee_local = flow.callee_local;
    result.callee_remote = flow.callee_remote;
    const std::uint32_t seconds =
        flow.orphan_timeout_ms == 0 ? usual_timeout_s : flow.orphan_timeout_ms / 1000;
    result.timeout_s = std::max(seconds, least_timeout_s);
    return result;
}

} // namespace forwarding_conntrack
