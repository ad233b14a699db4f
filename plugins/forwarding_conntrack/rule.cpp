// SPDX-License-Identifier: GPL-2.0-or-later
#include "rule.hpp"

#include <new>

#include <libnftnl/expr.h>
#include <linux/netfilter.h>
#include <linux/rtnetlink.h>

namespace forwarding_conntrack
{
namespace
{

std::uint32_t register_of(unsigned number)
{
    return NFT_REG32_00 + number;
}

} // namespace

Rule::Rule(const std::string& table, const char* chain) : rule_(nftnl_rule_alloc())
{
    if (rule_ == nullptr)
        throw std::bad_alloc();
    nftnl_rule_set_str(rule_.get(), NFTNL_RULE_TABLE, table.c_str());
    nftnl_rule_set_str(rule_.get(), NFTNL_RULE_CHAIN, chain);
    nftnl_rule_set_u32(rule_.get(), NFTNL_RULE_FAMILY, NFPROTO_INET);
}

nftnl_expr* Rule::append(const char* name)
{
    nftnl_expr* expression = nftnl_expr_alloc(name);
    if (expression == nullptr)
        throw std::bad_alloc();
    nftnl_rule_add_expr(rule_.get(), expression);
    return expression;
}

Rule& Rule::meta(std::uint32_t key, unsigned reg)
{
    nftnl_expr* made = append("meta");
    nftnl_expr_set_u32(made, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(made, NFTNL_EXPR_META_DREG, register_of(reg));
    return *this;
}

Rule& Rule::payload(nft_payload_bases base, std::uint32_t offset, std::uint32_t size, unsigned reg)
{
    nftnl_expr* made = append("payload");
    nftnl_expr_set_u32(made, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(made, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(made, NFTNL_EXPR_PAYLOAD_LEN, size);
    nftnl_expr_set_u32(made, NFTNL_EXPR_PAYLOAD_DREG, register_of(reg));
    return *this;
}

Rule& Rule::compare(nft_cmp_ops op, unsigned reg, const void* value, std::uint32_t size)
{
    nftnl_expr* made = append("cmp");
    nftnl_expr_set_u32(made, NFTNL_EXPR_CMP_SREG, register_of(reg));
    nftnl_expr_set_u32(made, NFTNL_EXPR_CMP_OP, op);
    nftnl_expr_set(made, NFTNL_EXPR_CMP_DATA, value, size);
    return *this;
}

Rule& Rule::lookup(const char* set, unsigned reg)
{
    nftnl_expr* made = append("lookup");
    nftnl_expr_set_u32(made, NFTNL_EXPR_LOOKUP_SREG, register_of(reg));
    nftnl_expr_set_str(made, NFTNL_EXPR_LOOKUP_SET, set);
    return *this;
}

Rule& Rule::local_destination()
{
    nftnl_expr* made = append("fib");
    nftnl_expr_set_u32(made, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
    nftnl_expr_set_u32(made, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
    nftnl_expr_set_u32(made, NFTNL_EXPR_FIB_DREG, register_of(0));
    return compare(NFT_CMP_EQ, 0, std::uint32_t{RTN_LOCAL});
}

Rule& Rule::zone(std::uint16_t zone)
{
    nftnl_expr* value = append("immediate");
    nftnl_expr_set_u32(value, NFTNL_EXPR_IMM_DREG, register_of(0));
    nftnl_expr_set(value, NFTNL_EXPR_IMM_DATA, &zone, sizeof zone);
    nftnl_expr* made = append("ct");
    nftnl_expr_set_u32(made, NFTNL_EXPR_CT_KEY, NFT_CT_ZONE);
    nftnl_expr_set_u32(made, NFTNL_EXPR_CT_SREG, register_of(0));
    return *this;
}

Rule& Rule::notrack()
{
    append("notrack");
    return *this;
}

Rule& Rule::verdict(std::uint32_t verdict)
{
    nftnl_expr* made = append("immediate");
    nftnl_expr_set_u32(made, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
    nftnl_expr_set_u32(made, NFTNL_EXPR_IMM_VERDICT, verdict);
    return *this;
}

void Rule::build(nlmsghdr& message) const
{
    nftnl_rule_nlmsg_build_payload(&message, rule_.get());
}

} // namespace forwarding_conntrack
