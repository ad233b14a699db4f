// SPDX-License-Identifier: GPL-2.0-or-later
#include "rule_reader.hpp"

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <arpa/inet.h>
#include <libnftnl/expr.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/xt_conntrack.h>
#include <netinet/in.h>

namespace forwarding_nftables
{
namespace
{

constexpr std::uint32_t ct_state_untracked = 1U << 6; // NF_CT_STATE_UNTRACKED_BIT
constexpr std::uint16_t xt_state_untracked = XT_CONNTRACK_STATE_UNTRACKED;

using Applies = RuleEffect::Applies;
using Does = RuleEffect::Does;
using Bytes = std::vector<std::uint8_t>;

template <class T>
Bytes bytes_of(T value)
{
    Bytes result(sizeof value);
    std::memcpy(result.data(), &value, sizeof value);
    return result;
}

/// Goes through a rule as the kernel does, with what is known of the packet.
class Walker
{
public:
    explicit Walker(Family family) : family_(family) {}

    void step(nftnl_expr* expression);
    const RuleEffect& effect() const noexcept { return effect_; }

private:
    /// Words of four bytes from 0, as the kernel has them behind its two kinds of numbers.
    static std::size_t slot(std::uint32_t number)
    {
        return number >= NFT_REG32_00 ? number - NFT_REG32_00 : (number - NFT_REG_1) * 4;
    }
    std::optional<Bytes>& at(std::uint32_t number)
    {
        const std::size_t index = slot(number);
        return registers_[index < registers_.size() ? index : registers_.size() - 1];
    }
    void no_match() { effect_.applies = Applies::never; }
    void maybe()
    {
        if (effect_.applies == Applies::always)
            effect_.applies = Applies::cannot_tell;
    }
    void decide(Does does)
    {
        if (effect_.does == Does::nothing)
            effect_.does = does;
    }

    void meta(const nftnl_expr* expression);
    void ct(const nftnl_expr* expression);
    void payload(const nftnl_expr* expression);
    void fib(const nftnl_expr* expression);
    void bitwise(const nftnl_expr* expression);
    void compare(const nftnl_expr* expression);
    void verdict(const nftnl_expr* expression);
    void xt_match(const nftnl_expr* expression);
    void xt_target(const nftnl_expr* expression);

    Family family_;
    RuleEffect effect_;
    std::array<std::optional<Bytes>, 17> registers_; ///< empty: not known; the last is a dump
};

void Walker::meta(const nftnl_expr* expression)
{
    if (!nftnl_expr_is_set(expression, NFTNL_EXPR_META_DREG))
        return; // sets a mark or the like
    auto& target = at(nftnl_expr_get_u32(expression, NFTNL_EXPR_META_DREG));
    const bool v4 = family_ == Family::ipv4;
    switch (nftnl_expr_get_u32(expression, NFTNL_EXPR_META_KEY)) {
    case NFT_META_NFPROTO:
        target = Bytes{static_cast<std::uint8_t>(v4 ? NFPROTO_IPV4 : NFPROTO_IPV6)};
        break;
    case NFT_META_L4PROTO:
        target = Bytes{IPPROTO_UDP};
        break;
    case NFT_META_PROTOCOL:
        target = bytes_of(htons(v4 ? ETH_P_IP : ETH_P_IPV6));
        break;
    default:
        target.reset();
    }
}

void Walker::ct(const nftnl_expr* expression)
{
    if (!nftnl_expr_is_set(expression, NFTNL_EXPR_CT_DREG))
        return;
    if (nftnl_expr_get_u32(expression, NFTNL_EXPR_CT_KEY) == NFT_CT_STATE)
        at(nftnl_expr_get_u32(expression, NFTNL_EXPR_CT_DREG)) = bytes_of(ct_state_untracked);
    else
        no_match(); // there is no connection whose property this could be
}

void Walker::payload(const nftnl_expr* expression)
{
    if (!nftnl_expr_is_set(expression, NFTNL_EXPR_PAYLOAD_DREG))
        return;
    auto& target = at(nftnl_expr_get_u32(expression, NFTNL_EXPR_PAYLOAD_DREG));
    const std::uint32_t protocol_offset = family_ == Family::ipv4 ? 9 : 6;
    target.reset();
    if (nftnl_expr_get_u32(expression, NFTNL_EXPR_PAYLOAD_BASE) == NFT_PAYLOAD_NETWORK_HEADER &&
        nftnl_expr_get_u32(expression, NFTNL_EXPR_PAYLOAD_OFFSET) == protocol_offset &&
        nftnl_expr_get_u32(expression, NFTNL_EXPR_PAYLOAD_LEN) == 1)
        target = Bytes{IPPROTO_UDP};
}

/// The reverse path check of firewalls: the way back to an address of this host leads nowhere.
void Walker::fib(const nftnl_expr* expression)
{
    auto& target = at(nftnl_expr_get_u32(expression, NFTNL_EXPR_FIB_DREG));
    const std::uint32_t flags = nftnl_expr_get_u32(expression, NFTNL_EXPR_FIB_FLAGS);
    const std::uint32_t result = nftnl_expr_get_u32(expression, NFTNL_EXPR_FIB_RESULT);
    target.reset();
    if ((flags & NFTA_FIB_F_SADDR) == 0 || (flags & NFTA_FIB_F_IIF) == 0)
        return;
    if ((flags & NFTA_FIB_F_PRESENT) != 0)
        target = Bytes{0};
    else if (result == NFT_FIB_RESULT_OIF)
        target = bytes_of(std::uint32_t{0});
}

void Walker::bitwise(const nftnl_expr* expression)
{
    const auto source = at(nftnl_expr_get_u32(expression, NFTNL_EXPR_BITWISE_SREG));
    auto& target = at(nftnl_expr_get_u32(expression, NFTNL_EXPR_BITWISE_DREG));
    std::uint32_t mask_size = 0, flip_size = 0;
    const auto* mask = static_cast<const std::uint8_t*>(
        nftnl_expr_get(expression, NFTNL_EXPR_BITWISE_MASK, &mask_size));
    const auto* flip = static_cast<const std::uint8_t*>(
        nftnl_expr_get(expression, NFTNL_EXPR_BITWISE_XOR, &flip_size));
    target = source;
    if (!target || mask == nullptr || flip == nullptr || mask_size < target->size() ||
        flip_size < target->size()) {
        target.reset();
        return;
    }
    for (std::size_t i = 0; i < target->size(); ++i)
        (*target)[i] = static_cast<std::uint8_t>(((*target)[i] & mask[i]) ^ flip[i]);
}

void Walker::compare(const nftnl_expr* expression)
{
    const auto& source = at(nftnl_expr_get_u32(expression, NFTNL_EXPR_CMP_SREG));
    std::uint32_t size = 0;
    const void* value = nftnl_expr_get(expression, NFTNL_EXPR_CMP_DATA, &size);
    const std::uint32_t operation = nftnl_expr_get_u32(expression, NFTNL_EXPR_CMP_OP);
    if (!source || value == nullptr || size != source->size() ||
        (operation != NFT_CMP_EQ && operation != NFT_CMP_NEQ)) {
        maybe();
        return;
    }
    const bool equal = std::memcmp(source->data(), value, size) == 0;
    if (equal != (operation == NFT_CMP_EQ))
        no_match();
}

void Walker::verdict(const nftnl_expr* expression)
{
    if (!nftnl_expr_is_set(expression, NFTNL_EXPR_IMM_VERDICT)) {
        at(nftnl_expr_get_u32(expression, NFTNL_EXPR_IMM_DREG)).reset();
        return;
    }
    const auto code =
        static_cast<std::int32_t>(nftnl_expr_get_u32(expression, NFTNL_EXPR_IMM_VERDICT));
    if (const char* chain = nftnl_expr_get_str(expression, NFTNL_EXPR_IMM_CHAIN); chain != nullptr)
        effect_.target = chain;
    switch (code) {
    case NF_DROP:
        return decide(Does::drop);
    case NF_ACCEPT:
        return decide(Does::accept);
    case NFT_JUMP:
        return decide(Does::jump);
    case NFT_GOTO:
        return decide(Does::go_to);
    case NFT_RETURN:
        return decide(Does::leave);
    default:
        return;
    }
}

/// A match of iptables.
void Walker::xt_match(const nftnl_expr* expression)
{
    const std::string_view name = nftnl_expr_get_str(expression, NFTNL_EXPR_MT_NAME);
    std::uint32_t size = 0;
    const void* data = nftnl_expr_get(expression, NFTNL_EXPR_MT_INFO, &size);
    if (name == "comment")
        return;
    xt_conntrack_mtinfo3 info{};
    if (name != "conntrack" || nftnl_expr_get_u32(expression, NFTNL_EXPR_MT_REV) != 3 ||
        data == nullptr || size < sizeof info)
        return maybe();
    std::memcpy(&info, data, sizeof info);
    const bool named = (info.state_mask & xt_state_untracked) != 0;
    const bool inverted = (info.invert_flags & XT_CONNTRACK_STATE) != 0;
    if ((info.match_flags & XT_CONNTRACK_STATE) == 0 || named == inverted)
        no_match();
    else if (info.match_flags != XT_CONNTRACK_STATE)
        no_match(); // the rest asks for properties of a connection
}

/// A target of iptables.
void Walker::xt_target(const nftnl_expr* expression)
{
    const std::string_view name = nftnl_expr_get_str(expression, NFTNL_EXPR_TG_NAME);
    if (name == "REJECT")
        decide(Does::drop);
}

void Walker::step(nftnl_expr* expression)
{
    const std::string_view name = nftnl_expr_get_str(expression, NFTNL_EXPR_NAME);
    if (name == "meta")
        meta(expression);
    else if (name == "ct")
        ct(expression);
    else if (name == "payload")
        payload(expression);
    else if (name == "fib")
        fib(expression);
    else if (name == "bitwise")
        bitwise(expression);
    else if (name == "cmp")
        compare(expression);
    else if (name == "immediate")
        verdict(expression);
    else if (name == "reject")
        decide(Does::drop);
    else if (name == "match")
        xt_match(expression);
    else if (name == "target")
        xt_target(expression);
    else if (name != "counter" && name != "log" && name != "notrack")
        maybe();
}

} // namespace

RuleEffect read_rule(const nftnl_rule& rule, Family family)
{
    Walker walker(family);
    std::unique_ptr<nftnl_expr_iter, void (*)(nftnl_expr_iter*)> expressions(
        nftnl_expr_iter_create(&rule), nftnl_expr_iter_destroy);
    while (nftnl_expr* expression = nftnl_expr_iter_next(expressions.get()))
        walker.step(expression);
    return walker.effect();
}

} // namespace forwarding_nftables
