// SPDX-License-Identifier: GPL-2.0-or-later
#include "guard_table.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/set.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/icmp6.h>

#include "rule.hpp"
#include "support/failure.hpp"
#include "support/owner_tables.hpp"

namespace forwarding_conntrack
{
namespace
{

using mediaproxy::plugin_support::fail;
using mediaproxy::plugin_support::gap_of;
namespace plugin_support = mediaproxy::plugin_support;

constexpr std::size_t flows_at_once = 5000; ///< more do not fit into one transaction
constexpr std::size_t flows_a_list = 500;   ///< a list of elements has 64 KiB at most

constexpr std::int32_t before_raw = -310;
constexpr std::int32_t raw = -300;
constexpr std::int32_t source_nat = 100;

// Data types as nft(8) numbers them, so that it can print the sets.
constexpr std::uint32_t type_ipv4 = 7, type_ipv6 = 8, type_port = 13, type_bits = 6;

void mark(FlowSpan flows, bool switched)
{
    for (Flow* flow : flows)
        flow->switched = switched;
}

/// An element's key: address, port, filled up to 4 bytes.
struct Key {
    std::array<std::uint8_t, 20> bytes{};
    std::size_t size;

    explicit Key(const mp_endpoint& endpoint) : size(address_size(endpoint) + 4)
    {
        std::copy_n(endpoint.address, size - 4, bytes.begin());
        bytes[size - 4] = static_cast<std::uint8_t>(endpoint.port >> 8);
        bytes[size - 3] = static_cast<std::uint8_t>(endpoint.port);
    }
};

const char* set_of(std::uint8_t family)
{
    return family == 4 ? "fast4" : "fast6";
}

} // namespace

GuardTable::GuardTable(NetlinkSocket& socket, const std::string& owner, const Settings& settings)
    : socket_(socket), batch_(socket), owner_(owner), name_(plugin_support::conntrack_table(owner)),
      zone_(settings.zone), untracked_(settings.untracked_ports)
{
}

mp_status GuardTable::ensure(mp_error& error)
{
    bool there = false;
    const int failed = ask({.type = NFT_MSG_GETTABLE, .table = name_.c_str()},
                           [&](const nlattr&) { there = true; });
    if (failed == 0 && there)
        return MP_OK;
    batch_.begin();
    build();
    NftBatch::Outcome outcome;
    switch (commit(&outcome)) {
    case 0:
        return MP_OK;
    case EPERM:
    case EACCES:
        return fail(&error, MP_E_DENIED, "the capability CAP_NET_ADMIN is missing");
    default:
        break;
    }
    const auto need = needs_.find(outcome.sequence);
    return fail(&error, MP_E_UNSUPPORTED,
                std::string("the kernel cannot do it: ") +
                    (need == needs_.end() ? "nf_tables (CONFIG_NF_TABLES_INET)" : need->second) +
                    ": " + std::strerror(outcome.error));
}

int GuardTable::rebuild(FlowSpan flows)
{
    batch_.begin();
    add_table(NFT_MSG_NEWTABLE, NLM_F_CREATE); // so that there is one to delete
    add_table(NFT_MSG_DELTABLE, 0);
    build();
    const FlowSpan at_once = flows.first(std::min(flows.size(), flows_at_once));
    add_all(NFT_MSG_NEWSETELEM, at_once);
    const int error = commit();
    if (error != 0)
        return error;
    mark(at_once, true);
    return switch_on(flows.subspan(at_once.size()));
}

void GuardTable::drop()
{
    batch_.begin();
    add_table(NFT_MSG_DELTABLE, 0);
    commit(); // there may be none
}

bool GuardTable::drop_other_back_end()
{
    return plugin_support::drop_nftables_tables(batch_, owner_);
}

void GuardTable::add_table(std::uint16_t message_type, std::uint16_t flags)
{
    nlmsghdr& message = batch_.add(message_type, NFPROTO_INET, flags);
    mnl_attr_put_strz(&message, NFTA_TABLE_NAME, name_.c_str());
}

void GuardTable::build()
{
    needs_.clear();
    rules_ = 0;
    parts_ = 0;
    add_table(NFT_MSG_NEWTABLE, NLM_F_CREATE);
    add_set("fast4", (type_ipv4 << type_bits) | type_port, 8);
    add_set("fast6", (type_ipv6 << type_bits) | type_port, 20);
    add_chain("switch", "filter", NF_INET_PRE_ROUTING, before_raw);
    // Empty, but one chain of this type brings address translation in.
    add_chain("translate", "nat", NF_INET_POST_ROUTING, source_nat);
    needs_[batch_.sequence()] = "address translation (CONFIG_NF_NAT, CONFIG_NFT_NAT)";
    add_rules();
}

void GuardTable::add_set(const char* set, std::uint32_t key_type, std::uint32_t key_size)
{
    nftnl_set* made = nftnl_set_alloc();
    nftnl_set_set_str(made, NFTNL_SET_TABLE, name_.c_str());
    nftnl_set_set_str(made, NFTNL_SET_NAME, set);
    nftnl_set_set_u32(made, NFTNL_SET_FAMILY, NFPROTO_INET);
    nftnl_set_set_u32(made, NFTNL_SET_KEY_TYPE, key_type);
    nftnl_set_set_u32(made, NFTNL_SET_KEY_LEN, key_size);
    nftnl_set_set_u32(made, NFTNL_SET_ID, key_size);
    nftnl_set_nlmsg_build_payload(&batch_.add(NFT_MSG_NEWSET, NFPROTO_INET, NLM_F_CREATE), made);
    nftnl_set_free(made);
    ++parts_;
}

void GuardTable::add_chain(const char* chain, const char* type, std::uint32_t hook,
                           std::int32_t priority)
{
    nftnl_chain* made = nftnl_chain_alloc();
    nftnl_chain_set_str(made, NFTNL_CHAIN_TABLE, name_.c_str());
    nftnl_chain_set_str(made, NFTNL_CHAIN_NAME, chain);
    nftnl_chain_set_str(made, NFTNL_CHAIN_TYPE, type);
    nftnl_chain_set_u32(made, NFTNL_CHAIN_HOOKNUM, hook);
    nftnl_chain_set_s32(made, NFTNL_CHAIN_PRIO, priority);
    nftnl_chain_nlmsg_build_payload(&batch_.add(NFT_MSG_NEWCHAIN, NFPROTO_INET, NLM_F_CREATE),
                                    made);
    nftnl_chain_free(made);
    ++parts_;
}

void GuardTable::add_rule(const Rule& rule, const char* what)
{
    rule.build(batch_.add(NFT_MSG_NEWRULE, NFPROTO_INET, NLM_F_CREATE | NLM_F_APPEND));
    needs_[batch_.sequence()] = what;
    ++rules_;
}

void GuardTable::add_rules()
{
    constexpr std::uint8_t udp = IPPROTO_UDP;
    constexpr std::uint8_t ipv4 = NFPROTO_IPV4, ipv6 = NFPROTO_IPV6, one_hop = 1;
    constexpr auto network = NFT_PAYLOAD_NETWORK_HEADER, transport = NFT_PAYLOAD_TRANSPORT_HEADER;
    const char* zones = "zones of connection tracking (CONFIG_NF_CONNTRACK_ZONES, CONFIG_NFT_CT)";

    // A packet on its last hop cannot be forwarded: it takes the slow path, where it is sent anew.
    Rule fast4(name_, "switch");
    fast4.meta(NFT_META_NFPROTO, 0).compare(NFT_CMP_EQ, 0, ipv4);
    fast4.meta(NFT_META_L4PROTO, 0).compare(NFT_CMP_EQ, 0, udp);
    fast4.payload(network, 16, 4, 0).payload(transport, 2, 2, 1).lookup("fast4", 0);
    fast4.payload(network, 8, 1, 0).compare(NFT_CMP_GT, 0, one_hop);
    add_rule(fast4.zone(zone_).verdict(NF_ACCEPT), zones);

    Rule fast6(name_, "switch");
    fast6.meta(NFT_META_NFPROTO, 0).compare(NFT_CMP_EQ, 0, ipv6);
    fast6.meta(NFT_META_L4PROTO, 0).compare(NFT_CMP_EQ, 0, udp);
    fast6.payload(network, 24, 16, 0).payload(transport, 2, 2, 4).lookup("fast6", 0);
    fast6.payload(network, 7, 1, 0).compare(NFT_CMP_GT, 0, one_hop);
    add_rule(fast6.zone(zone_).verdict(NF_ACCEPT), zones);

    // Behind one device the phones would be told where the other one is. Of IPv4 the kernel itself
    // withholds such redirects from translated connections.
    constexpr std::uint8_t icmp6 = IPPROTO_ICMPV6, redirect = ND_REDIRECT;
    add_chain("own", "filter", NF_INET_LOCAL_OUT, raw);
    Rule redirect6(name_, "own");
    redirect6.meta(NFT_META_L4PROTO, 0).compare(NFT_CMP_EQ, 0, icmp6);
    redirect6.payload(transport, 0, 1, 0).compare(NFT_CMP_EQ, 0, redirect);
    add_rule(redirect6.verdict(NF_DROP), "nf_tables (CONFIG_NF_TABLES_INET)");

    if (!untracked_)
        return;
    const std::uint16_t first = htons(untracked_->first), last = htons(untracked_->last);
    Rule in(name_, "switch"), out(name_, "own");
    in.meta(NFT_META_L4PROTO, 0).compare(NFT_CMP_EQ, 0, udp).payload(transport, 2, 2, 0);
    in.compare(NFT_CMP_GTE, 0, first).compare(NFT_CMP_LTE, 0, last).local_destination();
    add_rule(in.notrack(), "the setting untracked_ports (CONFIG_NFT_FIB_INET, CONFIG_NFT_CT)");
    out.meta(NFT_META_L4PROTO, 0).compare(NFT_CMP_EQ, 0, udp).payload(transport, 0, 2, 0);
    out.compare(NFT_CMP_GTE, 0, first).compare(NFT_CMP_LTE, 0, last);
    add_rule(out.notrack(), "the setting untracked_ports (CONFIG_NFT_CT)");
}

int GuardTable::switch_on(FlowSpan flows)
{
    return switch_all(NFT_MSG_NEWSETELEM, flows);
}

int GuardTable::switch_off(FlowSpan flows)
{
    const int error = switch_all(NFT_MSG_DELSETELEM, flows);
    if (error != ENOENT || flows.size() < 2)
        return error == ENOENT ? 0 : error;
    // Somebody took some of them out: the others still have to go.
    int first = 0;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        const int failed = switch_all(NFT_MSG_DELSETELEM, flows.subspan(i, 1));
        if (failed != ENOENT && first == 0)
            first = failed;
    }
    return first;
}

int GuardTable::switch_all(std::uint16_t message_type, FlowSpan flows)
{
    int error = 0;
    for (std::size_t start = 0; start < flows.size() && error == 0; start += flows_at_once) {
        const FlowSpan some = flows.subspan(start, std::min(flows_at_once, flows.size() - start));
        batch_.begin();
        add_all(message_type, some);
        error = commit();
        if (error == 0)
            mark(some, message_type == NFT_MSG_NEWSETELEM);
    }
    return error;
}

void GuardTable::add_all(std::uint16_t message_type, FlowSpan flows)
{
    for (std::size_t start = 0; start < flows.size(); start += flows_a_list) {
        const FlowSpan piece = flows.subspan(start, std::min(flows_a_list, flows.size() - start));
        for (const std::uint8_t family : {4, 6})
            add_elements(message_type, piece, family);
    }
}

void GuardTable::add_elements(std::uint16_t message_type, FlowSpan flows, std::uint8_t family)
{
    if (std::none_of(flows.begin(), flows.end(),
                     [&](const Flow* flow) { return flow->family() == family; }))
        return;
    const bool adds = message_type == NFT_MSG_NEWSETELEM;
    nlmsghdr& message = batch_.add(message_type, NFPROTO_INET, adds ? NLM_F_CREATE : 0);
    mnl_attr_put_strz(&message, NFTA_SET_ELEM_LIST_TABLE, name_.c_str());
    mnl_attr_put_strz(&message, NFTA_SET_ELEM_LIST_SET, set_of(family));
    nlattr* list = mnl_attr_nest_start(&message, NFTA_SET_ELEM_LIST_ELEMENTS);
    for (const Flow* flow : flows) {
        if (flow->family() != family)
            continue;
        for (const mp_endpoint* local : {&flow->caller_local, &flow->callee_local}) {
            const Key key(*local);
            nlattr* element = mnl_attr_nest_start(&message, NFTA_LIST_ELEM);
            nlattr* data = mnl_attr_nest_start(&message, NFTA_SET_ELEM_KEY);
            mnl_attr_put(&message, NFTA_DATA_VALUE, key.size, key.bytes.data());
            mnl_attr_nest_end(&message, data);
            mnl_attr_nest_end(&message, element);
        }
    }
    mnl_attr_nest_end(&message, list);
}

int GuardTable::commit(NftBatch::Outcome* outcome)
{
    const NftBatch::Outcome result = batch_.commit();
    if (outcome != nullptr)
        *outcome = result;
    if (result.ok())
        ++generation_;
    return result.error;
}

bool GuardTable::ruleset_changed()
{
    std::uint32_t now = 0;
    ask({.type = NFT_MSG_GETGEN}, [&](const nlattr& attribute) {
        if (mnl_attr_get_type(&attribute) == NFTA_GEN_ID)
            now = ntohl(mnl_attr_get_u32(&attribute));
    });
    return std::exchange(generation_, now) != now;
}

GuardTable::Condition GuardTable::condition(std::size_t flows4, std::size_t flows6)
{
    std::uint32_t parts = 0;
    std::size_t rules = 0, ports4 = 0, ports6 = 0;
    const int problems[] = {
        ask({.type = NFT_MSG_GETTABLE, .table = name_.c_str()},
            [&](const nlattr& attribute) {
                if (mnl_attr_get_type(&attribute) == NFTA_TABLE_USE)
                    parts = ntohl(mnl_attr_get_u32(&attribute));
            }),
        ask({.type = NFT_MSG_GETRULE, .flags = NLM_F_DUMP, .table = name_.c_str()},
            [&](const nlattr& attribute) {
                if (mnl_attr_get_type(&attribute) == NFTA_RULE_HANDLE)
                    ++rules;
            }),
        count_elements("fast4", ports4), count_elements("fast6", ports6)};
    // That something is not there is an answer.
    if (std::ranges::any_of(problems,
                            [](int problem) { return problem != 0 && problem != ENOENT; }))
        return Condition::unknown;
    return parts == parts_ && rules == rules_ && ports4 == 2 * flows4 && ports6 == 2 * flows6
               ? Condition::intact
               : Condition::damaged;
}

/// 0 or an errno.
int GuardTable::count_elements(const char* set, std::size_t& count)
{
    return ask(
        {.type = NFT_MSG_GETSETELEM, .flags = NLM_F_DUMP, .table = name_.c_str(), .set = set},
        [&](const nlattr& attribute) {
            if (mnl_attr_get_type(&attribute) == NFTA_SET_ELEM_LIST_ELEMENTS)
                mnl_attr_parse_nested(
                    &attribute,
                    [](const nlattr*, void* counted) {
                        ++*static_cast<std::size_t*>(counted);
                        return MNL_CB_OK;
                    },
                    &count);
        });
}

bool GuardTable::others_present()
{
    bool found = false;
    ask({.type = NFT_MSG_GETTABLE, .flags = NLM_F_DUMP}, [&](const nlattr& attribute) {
        if (mnl_attr_get_type(&attribute) != NFTA_TABLE_NAME)
            return;
        const std::string_view name = mnl_attr_get_str(&attribute);
        found = found || (name.starts_with(plugin_support::table_prefix) && name != name_);
    });
    return found;
}

int GuardTable::ask(const Question& question, const OnAttribute& on_attribute)
{
    alignas(nlmsghdr) std::array<std::byte, 512> buffer;
    nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
    request->nlmsg_type = static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | question.type);
    request->nlmsg_flags = NLM_F_REQUEST | question.flags;
    request->nlmsg_seq = socket_.next_sequence();
    auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
    header->nfgen_family = question.table == nullptr ? NFPROTO_UNSPEC : NFPROTO_INET;
    if (question.table != nullptr) // NFTA_RULE_TABLE and the others are the same number
        mnl_attr_put_strz(request, NFTA_TABLE_NAME, question.table);
    if (question.set != nullptr)
        mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, question.set);
    int error = 0;
    const int failed =
        socket_.exchange({buffer.data(), request->nlmsg_len}, [&](const nlmsghdr& message) {
            if (error == 0)
                error = gap_of(message);
            if (message.nlmsg_type >> 8 == NFNL_SUBSYS_NFTABLES)
                mnl_attr_parse(
                    &message, sizeof(nfgenmsg),
                    [](const nlattr* attribute, void* wanted) {
                        (*static_cast<const OnAttribute*>(wanted))(*attribute);
                        return MNL_CB_OK;
                    },
                    const_cast<OnAttribute*>(&on_attribute));
        });
    return error != 0 ? error : failed;
}

} // namespace forwarding_conntrack
