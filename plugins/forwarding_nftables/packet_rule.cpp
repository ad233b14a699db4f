// SPDX-License-Identifier: GPL-2.0-or-later
#include "packet_rule.hpp"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/netfilter.h>
#include <netinet/in.h>

namespace forwarding_nftables
{
namespace
{

constexpr std::uint32_t network = NFT_PAYLOAD_NETWORK_HEADER;
constexpr std::uint32_t transport = NFT_PAYLOAD_TRANSPORT_HEADER;
constexpr std::uint8_t udp = IPPROTO_UDP;
constexpr std::uint8_t ttl_at_its_end = 1;
constexpr std::uint32_t loopback_index = 1; // of every network namespace

/// Where things are, in bytes of the header and words of the registers.
struct Places {
    unsigned protocol, ttl, addresses;
    unsigned address_words;
    unsigned length, length_without; ///< its field, and the bytes that IPv6 does not count there
};
constexpr Places ipv4{9, 8, 12, 1, 2, 0};
constexpr Places ipv6{6, 7, 8, 4, 4, 40};

void match_arrival(RuleBuilder& rule, const PacketRule& wanted)
{
    if (wanted.protocol != NFPROTO_NETDEV) {
        // A packet from the host to itself has its route already; another address does not help.
        rule.load_meta(NFT_META_IIF, 0);
        rule.compare(NFT_CMP_NEQ, 0, &loopback_index, sizeof loopback_index);
        return;
    }
    const std::uint16_t type = htons(wanted.family == Family::ipv4 ? ETH_P_IP : ETH_P_IPV6);
    const std::uint8_t to_us = PACKET_HOST;
    rule.load_meta(NFT_META_PROTOCOL, 0);
    rule.compare(NFT_CMP_EQ, 0, &type, sizeof type);
    rule.load_meta(NFT_META_PKTTYPE, 0);
    rule.compare(NFT_CMP_EQ, 0, &to_us, sizeof to_us);
}

void match_whole_udp(RuleBuilder& rule, const PacketRule& wanted, const Places& at)
{
    constexpr unsigned fragment_offset = 6;
    const std::uint16_t more_or_offset = htons(0x3fff), none = 0;
    rule.load_payload(network, at.protocol, sizeof udp, 0);
    rule.compare(NFT_CMP_EQ, 0, &udp, sizeof udp);
    if (wanted.family == Family::ipv4 && wanted.fragments_arrive) {
        rule.load_payload(network, fragment_offset, sizeof more_or_offset, 0);
        rule.mask(0, &more_or_offset, sizeof more_or_offset);
        rule.compare(NFT_CMP_EQ, 0, &none, sizeof none);
    }
    if (wanted.longest != 0) {
        const std::uint16_t most =
            htons(static_cast<std::uint16_t>(wanted.longest - at.length_without));
        rule.load_payload(network, at.length, sizeof most, 0);
        rule.compare(NFT_CMP_LTE, 0, &most, sizeof most);
    }
    rule.load_payload(network, at.ttl, sizeof ttl_at_its_end, 0);
    rule.compare(NFT_CMP_GT, 0, &ttl_at_its_end, sizeof ttl_at_its_end);
}

} // namespace

RuleBuilder packet_rule(const PacketRule& wanted)
{
    const Places at = wanted.family == Family::ipv4 ? ipv4 : ipv6;
    const unsigned bytes = at.address_words * 4;
    RuleBuilder rule(wanted.protocol, wanted.table, wanted.chain);
    match_arrival(rule, wanted);
    match_whole_udp(rule, wanted, at);

    // Loads of up to four bytes are the fast ones, so ports and IPv4 addresses come one by one.
    const unsigned ports = 2 * at.address_words, hop = ports + 1;
    rule.load_payload(network, at.addresses, bytes, 0);
    rule.load_payload(network, at.addresses + bytes, bytes, at.address_words);
    rule.load_payload(transport, 0, 2, ports);
    rule.load_payload(transport, 2, 2, ports + 1);
    // The data takes the place of the key: with IPv6 there is no room for both.
    rule.look_up(wanted.map, wanted.map_id, 0, 0);

    if (wanted.protocol != NFPROTO_NETDEV)
        rule.notrack();
    // Not in one piece with the addresses, although with IPv6 UDP follows at once: where a device
    // has yet to compute the checksum, the packet holds the addresses' part of it, to which the
    // kernel would add the ports too. Bytes of the transport header it leaves out of that.
    rule.write_payload(transport, 0, 4, ports);
    if (wanted.family == Family::ipv4)
        rule.write_ipv4_header(at.addresses, 2 * bytes, 0);
    else
        rule.write_payload(network, at.addresses, 2 * bytes, 0);
    if (wanted.protocol == NFPROTO_NETDEV)
        rule.forward(hop, hop + 1, wanted.family == Family::ipv4 ? NFPROTO_IPV4 : NFPROTO_IPV6);
    return rule;
}

RuleBuilder reassembly_rule(std::uint8_t protocol, const char* table, const char* chain)
{
    RuleBuilder rule(protocol, table, chain);
    rule.load_meta(NFT_META_L4PROTO, 0);
    rule.compare(NFT_CMP_EQ, 0, &udp, sizeof udp);
    rule.tproxy(protocol, 1);
    return rule;
}

} // namespace forwarding_nftables
