// SPDX-License-Identifier: GPL-2.0-or-later
#include "firewall.hpp"

#include <array>
#include <cstring>
#include <fstream>

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "rule_reader.hpp"

namespace forwarding_nftables
{
namespace
{

constexpr std::int32_t our_priority = -310;
constexpr unsigned deepest_jump = 16; // as the kernel has it

std::span<const std::byte> dump_of(std::array<std::byte, 1024>& room, std::uint16_t type,
                                   std::uint8_t protocol, std::uint32_t sequence, const char* table,
                                   const char* chain)
{
    nlmsghdr* message = nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(room.data()), type, protocol,
                                              NLM_F_DUMP, sequence);
    if (table != nullptr) {
        mnl_attr_put_strz(message, NFTA_RULE_TABLE, table);
        mnl_attr_put_strz(message, NFTA_RULE_CHAIN, chain);
    }
    return {room.data(), message->nlmsg_len};
}

/// Chains that a packet of ours comes to, behind our own.
bool is_on_the_way(const nftnl_chain* chain)
{
    if (!nftnl_chain_is_set(chain, NFTNL_CHAIN_HOOKNUM) ||
        std::strcmp(nftnl_chain_get_str(chain, NFTNL_CHAIN_TYPE), "nat") == 0)
        return false;
    switch (nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM)) {
    case NF_INET_PRE_ROUTING:
        return nftnl_chain_get_s32(chain, NFTNL_CHAIN_PRIO) > our_priority;
    case NF_INET_FORWARD:
    case NF_INET_POST_ROUTING:
        return true;
    default:
        return false;
    }
}

const char* hook_of(const nftnl_chain* chain)
{
    switch (nftnl_chain_get_u32(chain, NFTNL_CHAIN_HOOKNUM)) {
    case NF_INET_PRE_ROUTING:
        return "prerouting";
    case NF_INET_FORWARD:
        return "forward";
    default:
        return "postrouting";
    }
}

std::string family_of(const nftnl_chain* chain)
{
    switch (nftnl_chain_get_u32(chain, NFTNL_CHAIN_FAMILY)) {
    case NFPROTO_IPV4:
        return "ip";
    case NFPROTO_IPV6:
        return "ip6";
    default:
        return "inet";
    }
}

} // namespace

bool Firewall::has_hidden_rules() const
{
    if (layout_.settings().on_devices() || layout_.settings().forward_chain == ForwardChain::trust)
        return false;
    for (const char* path : {"/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"}) {
        std::ifstream tables(path);
        for (std::string table; tables >> table;) {
            if (table == "filter")
                return true;
        }
    }
    return false;
}

void Firewall::dump(std::span<const std::byte> request, std::uint16_t answer,
                    const NetlinkSocket::OnMessage& on_message)
{
    const int gap = socket_.dump(request, [&](const nlmsghdr& message) {
        if (message.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | answer))
            on_message(message);
    });
    gap_ = gap_ || gap != 0;
}

std::vector<Firewall::ChainPtr> Firewall::base_chains(Family family)
{
    std::vector<ChainPtr> result;
    for (const std::uint8_t protocol :
         {family == Family::ipv4 ? NFPROTO_IPV4 : NFPROTO_IPV6, NFPROTO_INET}) {
        std::array<std::byte, 1024> room;
        const auto request =
            dump_of(room, NFT_MSG_GETCHAIN, protocol, socket_.next_sequence(), nullptr, nullptr);
        dump(request, NFT_MSG_NEWCHAIN, [&](const nlmsghdr& message) {
            ChainPtr chain(nftnl_chain_alloc());
            if (nftnl_chain_nlmsg_parse(&message, chain.get()) == 0 && is_on_the_way(chain.get()))
                result.push_back(std::move(chain));
        });
    }
    return result;
}

const Firewall::Rules& Firewall::rules(const ChainName& chain)
{
    const auto place = known_.try_emplace(chain);
    Rules& result = place.first->second;
    if (!place.second)
        return result;
    const auto& [protocol, table, name] = chain;
    std::array<std::byte, 1024> room;
    const auto request = dump_of(room, NFT_MSG_GETRULE, protocol, socket_.next_sequence(),
                                 table.c_str(), name.c_str());
    dump(request, NFT_MSG_NEWRULE, [&](const nlmsghdr& message) {
        std::unique_ptr<nftnl_rule, FreeRule> rule(nftnl_rule_alloc());
        if (nftnl_rule_nlmsg_parse(&message, rule.get()) == 0)
            result.push_back(std::move(rule));
    });
    return result;
}

Firewall::Verdict Firewall::walk(const ChainName& chain, Family family, unsigned depth)
{
    if (depth > deepest_jump)
        return Verdict::fall_through;
    for (const auto& rule : rules(chain)) {
        const RuleEffect effect = read_rule(*rule, family);
        if (effect.applies != RuleEffect::Applies::always)
            continue;
        Verdict inner = Verdict::fall_through;
        switch (effect.does) {
        case RuleEffect::Does::accept:
            return Verdict::accept;
        case RuleEffect::Does::drop:
            return Verdict::drop;
        case RuleEffect::Does::leave:
            return Verdict::fall_through;
        case RuleEffect::Does::jump:
        case RuleEffect::Does::go_to:
            inner =
                walk({std::get<0>(chain), std::get<1>(chain), effect.target}, family, depth + 1);
            break;
        case RuleEffect::Does::nothing:
            break;
        }
        if (inner != Verdict::fall_through || effect.does == RuleEffect::Does::go_to)
            return inner;
    }
    return Verdict::fall_through;
}

std::optional<std::string> Firewall::obstacle(Family family)
{
    std::string sentence;
    if (layout_.settings().on_devices() || layout_.settings().forward_chain == ForwardChain::trust)
        return sentence;
    gap_ = false;
    for (const ChainPtr& chain : base_chains(family)) {
        const ChainName name{
            static_cast<std::uint8_t>(nftnl_chain_get_u32(chain.get(), NFTNL_CHAIN_FAMILY)),
            nftnl_chain_get_str(chain.get(), NFTNL_CHAIN_TABLE),
            nftnl_chain_get_str(chain.get(), NFTNL_CHAIN_NAME)};
        const Verdict verdict = walk(name, family, 0);
        const bool drops = verdict == Verdict::drop ||
                           (verdict == Verdict::fall_through &&
                            nftnl_chain_get_u32(chain.get(), NFTNL_CHAIN_POLICY) == NF_DROP);
        if (!drops)
            continue;
        sentence = "the chain " + family_of(chain.get()) + " " + std::get<1>(name) + " " +
                   std::get<2>(name) + " (hook " + hook_of(chain.get()) + ") drops forwarded " +
                   (family == Family::ipv4 ? "IPv4" : "IPv6") +
                   " media; add \"ct state untracked accept\" to it, or set devices, or "
                   "forward_chain = \"trust\" if it lets media through";
        break;
    }
    known_.clear();
    if (gap_)
        return std::nullopt;
    return sentence;
}

} // namespace forwarding_nftables
