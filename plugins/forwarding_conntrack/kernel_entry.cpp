// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_entry.hpp"

#include <cstring>

#include <arpa/inet.h>
#include <endian.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "support/attributes.hpp"

namespace forwarding_conntrack
{
namespace
{

using mediaproxy::plugin_support::for_each_attribute;
using mediaproxy::plugin_support::type_of;

/// A number in network order; 0 when the attribute is of another size.
template <class Number>
Number number_in(const nlattr& attribute)
{
    Number result = 0;
    if (attribute.nla_len == NLA_HDRLEN + sizeof result)
        std::memcpy(&result, reinterpret_cast<const char*>(&attribute) + NLA_HDRLEN, sizeof result);
    if constexpr (sizeof result == 8)
        return be64toh(result);
    return sizeof result == 4 ? static_cast<Number>(ntohl(result))
                              : static_cast<Number>(ntohs(static_cast<std::uint16_t>(result)));
}

/// Sets the family too, which is that of the address.
void set_address(const nlattr& attribute, mp_endpoint& endpoint)
{
    const std::size_t size = attribute.nla_len - std::size_t{NLA_HDRLEN};
    if (size != 4 && size != 16)
        return;
    endpoint.family = size == 4 ? 4 : 6;
    std::memcpy(endpoint.address, reinterpret_cast<const char*>(&attribute) + NLA_HDRLEN, size);
}

void set_tuple(const nlattr& tuple, mp_endpoint& source, mp_endpoint& destination)
{
    for_each_attribute(tuple, [&](const nlattr& part) {
        if (type_of(part) == CTA_TUPLE_IP)
            for_each_attribute(part, [&](const nlattr& address) {
                const int type = type_of(address);
                if (type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC)
                    set_address(address, source);
                else if (type == CTA_IP_V4_DST || type == CTA_IP_V6_DST)
                    set_address(address, destination);
            });
        else if (type_of(part) == CTA_TUPLE_PROTO)
            for_each_attribute(part, [&](const nlattr& port) {
                if (type_of(port) == CTA_PROTO_SRC_PORT)
                    source.port = number_in<std::uint16_t>(port);
                else if (type_of(port) == CTA_PROTO_DST_PORT)
                    destination.port = number_in<std::uint16_t>(port);
            });
    });
}

void set_traffic(const nlattr& counters, mp_traffic& traffic)
{
    for_each_attribute(counters, [&](const nlattr& counter) {
        if (type_of(counter) == CTA_COUNTERS_PACKETS)
            traffic.packets = number_in<std::uint64_t>(counter);
        else if (type_of(counter) == CTA_COUNTERS_BYTES)
            traffic.bytes = number_in<std::uint64_t>(counter);
    });
}

} // namespace

KernelEntry to_entry(const nlmsghdr& answer)
{
    KernelEntry entry;
    Flow& flow = entry.flow;
    for_each_attribute(answer, sizeof(nfgenmsg), [&](const nlattr& attribute) {
        switch (type_of(attribute)) {
        case CTA_TUPLE_ORIG:
            return set_tuple(attribute, flow.caller_remote, flow.caller_local);
        case CTA_TUPLE_REPLY:
            return set_tuple(attribute, flow.callee_remote, flow.callee_local);
        case CTA_COUNTERS_ORIG:
            return set_traffic(attribute, entry.traffic[0]);
        case CTA_COUNTERS_REPLY:
            return set_traffic(attribute, entry.traffic[1]);
        case CTA_TIMEOUT:
            entry.timeout_s = number_in<std::uint32_t>(attribute);
            return;
        case CTA_MARK:
            entry.mark = number_in<std::uint32_t>(attribute);
            return;
        case CTA_ZONE:
            entry.zone = number_in<std::uint16_t>(attribute);
            return;
        default:
            return;
        }
    });
    return entry;
}

} // namespace forwarding_conntrack
