// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/forward_chains.hpp"

#include <array>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

namespace mediaproxy::plugin_support
{
namespace
{

struct Place {
    std::uint32_t family = 0;
    std::string table, chain;
};

/// What one rule does with packets of the wanted state.
struct RuleEffect {
    bool accepts = false;
    std::string next; ///< the chain it goes to, "" for none
};

class Dumps
{
public:
    explicit Dumps(NetlinkSocket& socket) : socket_(socket) {}

    template <typename OnMessage>
    void dump(std::uint16_t type, std::uint8_t family, const char* table, OnMessage&& on_message)
    {
        alignas(nlmsghdr) std::array<std::byte, 512> buffer;
        nlmsghdr* request = mnl_nlmsg_put_header(buffer.data());
        request->nlmsg_type = static_cast<std::uint16_t>((NFNL_SUBSYS_NFTABLES << 8) | type);
        request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
        request->nlmsg_seq = socket_.next_sequence();
        auto* header =
            static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(nfgenmsg)));
        header->nfgen_family = family;
        if (table != nullptr)
            mnl_attr_put_strz(request, NFTA_RULE_TABLE, table);
        const int gap =
            socket_.dump({buffer.data(), request->nlmsg_len}, [&](const nlmsghdr& message) {
                if (message.nlmsg_type != NLMSG_ERROR && message.nlmsg_type != NLMSG_DONE)
                    on_message(message);
            });
        told_all_ = told_all_ && gap == 0;
    }
    /// Of all dumps so far.
    bool told_all() const noexcept { return told_all_; }

private:
    NetlinkSocket& socket_;
    bool told_all_ = true;
};

/// Base chains of the forward hook with policy drop.
std::vector<Place> dropping_chains(Dumps& dumps)
{
    std::vector<Place> found;
    dumps.dump(NFT_MSG_GETCHAIN, NFPROTO_UNSPEC, nullptr, [&](const nlmsghdr& message) {
        const std::unique_ptr<nftnl_chain, decltype(&nftnl_chain_free)> chain(nftnl_chain_alloc(),
                                                                              nftnl_chain_free);
        if (nftnl_chain_nlmsg_parse(&message, chain.get()) < 0 ||
            !nftnl_chain_is_set(chain.get(), NFTNL_CHAIN_HOOKNUM))
            return;
        const std::uint32_t family = nftnl_chain_get_u32(chain.get(), NFTNL_CHAIN_FAMILY);
        const bool routed =
            family == NFPROTO_IPV4 || family == NFPROTO_IPV6 || family == NFPROTO_INET;
        if (routed && nftnl_chain_get_u32(chain.get(), NFTNL_CHAIN_HOOKNUM) == NF_INET_FORWARD &&
            nftnl_chain_get_u32(chain.get(), NFTNL_CHAIN_POLICY) == NF_DROP)
            found.push_back({family, nftnl_chain_get_str(chain.get(), NFTNL_CHAIN_TABLE),
                             nftnl_chain_get_str(chain.get(), NFTNL_CHAIN_NAME)});
    });
    return found;
}

/// Follows one rule's expressions from left to right.
class RuleReader
{
public:
    explicit RuleReader(CtState state) : state_(static_cast<std::uint32_t>(state)) {}

    void read(const nftnl_expr* expression)
    {
        const std::string_view name = nftnl_expr_get_str(expression, NFTNL_EXPR_NAME);
        if (name == "ct")
            loads_state_ = nftnl_expr_get_u32(expression, NFTNL_EXPR_CT_KEY) == NFT_CT_STATE;
        else if (name == "bitwise" && loads_state_)
            names_state_ = (first_word(expression, NFTNL_EXPR_BITWISE_MASK) & state_) != 0;
        else if (name == "cmp")
            read_compare(expression);
        else if (name == "lookup") // of a set or a map of states: taken to hold ours
            read_lookup(expression);
        else if (name == "match")
            read_match(nftnl_expr_get_str(expression, NFTNL_EXPR_MT_NAME));
        else if (name == "immediate" && nftnl_expr_is_set(expression, NFTNL_EXPR_IMM_VERDICT))
            read_verdict(expression);
        else if (name == "range")
            conditional_ = true;
    }

    RuleEffect effect() const
    {
        RuleEffect result;
        result.accepts = (accepts_ && (names_state_ || !conditional_)) || maps_state_;
        result.next = next_;
        return result;
    }

private:
    static std::uint32_t first_word(const nftnl_expr* expression, std::uint16_t attribute)
    {
        std::uint32_t size = 0;
        const void* data = nftnl_expr_get(expression, attribute, &size);
        return data != nullptr && size >= 4 ? *static_cast<const std::uint32_t*>(data) : 0;
    }

    void read_compare(const nftnl_expr* expression)
    {
        if (loads_state_ && !names_state_)
            names_state_ = (first_word(expression, NFTNL_EXPR_CMP_DATA) & state_) != 0;
        conditional_ = true;
        loads_state_ = false;
    }

    void read_lookup(const nftnl_expr* expression)
    {
        if (loads_state_ && nftnl_expr_is_set(expression, NFTNL_EXPR_LOOKUP_DREG))
            maps_state_ = true;
        names_state_ = names_state_ || loads_state_;
        conditional_ = true;
        loads_state_ = false;
    }

    /// iptables-nft: the match is a blob, taken to name the usual states; nobody writes UNTRACKED
    /// without need.
    void read_match(std::string_view name)
    {
        conditional_ = true;
        names_state_ = names_state_ || name == "conntrack" || name == "state";
    }

    void read_verdict(const nftnl_expr* expression)
    {
        const auto verdict =
            static_cast<std::int32_t>(nftnl_expr_get_u32(expression, NFTNL_EXPR_IMM_VERDICT));
        accepts_ = verdict == NF_ACCEPT;
        if (verdict == NFT_JUMP || verdict == NFT_GOTO)
            next_ = nftnl_expr_get_str(expression, NFTNL_EXPR_IMM_CHAIN);
    }

    std::uint32_t state_;
    bool loads_state_ = false, names_state_ = false, maps_state_ = false;
    bool conditional_ = false, accepts_ = false;
    std::string next_;
};

RuleEffect effect_of(const nftnl_rule& rule, CtState state)
{
    RuleReader reader(state);
    nftnl_expr_iter* each = nftnl_expr_iter_create(&rule);
    while (const nftnl_expr* expression = nftnl_expr_iter_next(each))
        reader.read(expression);
    nftnl_expr_iter_destroy(each);
    return reader.effect();
}

bool accepts(Dumps& dumps, const Place& place, CtState state)
{
    std::multimap<std::string, RuleEffect> rules; // by chain
    const auto family = static_cast<std::uint8_t>(place.family);
    dumps.dump(NFT_MSG_GETRULE, family, place.table.c_str(), [&](const nlmsghdr& message) {
        const std::unique_ptr<nftnl_rule, decltype(&nftnl_rule_free)> rule(nftnl_rule_alloc(),
                                                                           nftnl_rule_free);
        if (nftnl_rule_nlmsg_parse(&message, rule.get()) >= 0)
            rules.emplace(nftnl_rule_get_str(rule.get(), NFTNL_RULE_CHAIN),
                          effect_of(*rule, state));
    });
    std::set<std::string> seen;
    std::vector<std::string> open{place.chain};
    while (!open.empty()) {
        const std::string chain = std::move(open.back());
        open.pop_back();
        if (!seen.insert(chain).second)
            continue;
        const auto [first, last] = rules.equal_range(chain);
        for (auto rule = first; rule != last; ++rule) {
            if (rule->second.accepts)
                return true;
            if (!rule->second.next.empty())
                open.push_back(rule->second.next);
        }
    }
    return false;
}

const char* family_name(std::uint32_t family)
{
    return family == NFPROTO_IPV4 ? "ip" : family == NFPROTO_IPV6 ? "ip6" : "inet";
}

} // namespace

std::optional<std::string> blocking_forward_chain(NetlinkSocket& socket, CtState state)
{
    Dumps dumps(socket);
    std::string blocking;
    for (const Place& place : dropping_chains(dumps)) {
        if (accepts(dumps, place, state))
            continue;
        blocking = std::string("table ") + family_name(place.family) + " " + place.table +
                   ", chain " + place.chain;
        break;
    }
    if (!dumps.told_all())
        return std::nullopt;
    return blocking;
}

} // namespace mediaproxy::plugin_support
