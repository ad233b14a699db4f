// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "elements.hpp"
#include "rule_builder.hpp"

namespace forwarding_nftables
{

/// Of the one rule that forwards.
struct PacketRule {
    Family family;
    std::uint8_t protocol; ///< NFPROTO_* of the table
    const char* table;
    const char* chain;
    const char* map;
    std::uint32_t map_id;  ///< within the transaction that makes the map too
    bool fragments_arrive; ///< the kernel has not put them together before this hook
};

/// Looks the packet's addresses and ports up and writes those of the map into it. What it leaves to
/// the host: fragments that arrive as such, packets with a TTL that has come to its end (the host
/// may relay them, a router may not), IPv6 packets with extension headers, packets from the host
/// itself.
RuleBuilder packet_rule(const PacketRule& wanted);

/// `meta l4proto udp tproxy to :1`
RuleBuilder reassembly_rule(std::uint8_t protocol, const char* table, const char* chain);

} // namespace forwarding_nftables
