// SPDX-License-Identifier: GPL-2.0-or-later
#include "rule_builder.hpp"

#include <new>

#include <arpa/inet.h>
#include <libnftnl/expr.h>

namespace forwarding_nftables
{
namespace
{

constexpr std::uint32_t register_of(unsigned word) noexcept
{
    return NFT_REG32_00 + word;
}

constexpr unsigned ipv4_checksum_offset = 10;

} // namespace

RuleBuilder::RuleBuilder(std::uint8_t protocol, const char* table, const char* chain)
    : rule_(nftnl_rule_alloc())
{
    if (!rule_)
        throw std::bad_alloc();
    nftnl_rule_set_u32(rule_.get(), NFTNL_RULE_FAMILY, protocol);
    nftnl_rule_set_str(rule_.get(), NFTNL_RULE_TABLE, table);
    nftnl_rule_set_str(rule_.get(), NFTNL_RULE_CHAIN, chain);
}

nftnl_expr* RuleBuilder::add(const char* name)
{
    nftnl_expr* expression = nftnl_expr_alloc(name);
    if (expression == nullptr)
        throw std::bad_alloc();
    nftnl_rule_add_expr(rule_.get(), expression);
    return expression;
}

void RuleBuilder::load_meta(std::uint32_t key, unsigned word)
{
    nftnl_expr* meta = add("meta");
    nftnl_expr_set_u32(meta, NFTNL_EXPR_META_KEY, key);
    nftnl_expr_set_u32(meta, NFTNL_EXPR_META_DREG, register_of(word));
}

void RuleBuilder::load_payload(std::uint32_t base, unsigned offset, unsigned size, unsigned word)
{
    nftnl_expr* payload = add("payload");
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_LEN, size);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_DREG, register_of(word));
}

void RuleBuilder::mask(unsigned word, const void* bits, unsigned size)
{
    constexpr std::uint32_t nothing = 0;
    nftnl_expr* bitwise = add("bitwise");
    nftnl_expr_set_u32(bitwise, NFTNL_EXPR_BITWISE_SREG, register_of(word));
    nftnl_expr_set_u32(bitwise, NFTNL_EXPR_BITWISE_DREG, register_of(word));
    nftnl_expr_set_u32(bitwise, NFTNL_EXPR_BITWISE_LEN, size);
    nftnl_expr_set(bitwise, NFTNL_EXPR_BITWISE_MASK, bits, size);
    nftnl_expr_set(bitwise, NFTNL_EXPR_BITWISE_XOR, &nothing, size);
}

void RuleBuilder::compare(std::uint32_t operation, unsigned word, const void* value, unsigned size)
{
    nftnl_expr* cmp = add("cmp");
    nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_SREG, register_of(word));
    nftnl_expr_set_u32(cmp, NFTNL_EXPR_CMP_OP, operation);
    nftnl_expr_set(cmp, NFTNL_EXPR_CMP_DATA, value, size);
}

void RuleBuilder::look_up(const char* map, std::uint32_t map_id, unsigned key_word,
                          unsigned data_word)
{
    nftnl_expr* lookup = add("lookup");
    nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SREG, register_of(key_word));
    nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_DREG, register_of(data_word));
    nftnl_expr_set_str(lookup, NFTNL_EXPR_LOOKUP_SET, map);
    nftnl_expr_set_u32(lookup, NFTNL_EXPR_LOOKUP_SET_ID, map_id);
}

void RuleBuilder::notrack()
{
    add("notrack");
}

void RuleBuilder::write_payload(std::uint32_t base, unsigned offset, unsigned size, unsigned word)
{
    nftnl_expr* payload = add("payload");
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_BASE, base);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_LEN, size);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_SREG, register_of(word));
    // By this flag the kernel looks for the protocol's checksum itself, and knows that a UDP
    // checksum of 0 is none. With a checksum offset it would make a wrong one of it.
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_NONE);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_FLAGS, NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
}

void RuleBuilder::write_ipv4_header(unsigned offset, unsigned size, unsigned word)
{
    nftnl_expr* payload = add("payload");
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_LEN, size);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_SREG, register_of(word));
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, ipv4_checksum_offset);
    nftnl_expr_set_u32(payload, NFTNL_EXPR_PAYLOAD_FLAGS, NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
}

void RuleBuilder::forward(unsigned device_word, unsigned address_word, std::uint8_t protocol)
{
    nftnl_expr* fwd = add("fwd");
    nftnl_expr_set_u32(fwd, NFTNL_EXPR_FWD_SREG_DEV, register_of(device_word));
    nftnl_expr_set_u32(fwd, NFTNL_EXPR_FWD_SREG_ADDR, register_of(address_word));
    nftnl_expr_set_u32(fwd, NFTNL_EXPR_FWD_NFPROTO, protocol);
}

void RuleBuilder::tproxy(std::uint8_t protocol, std::uint16_t port)
{
    const std::uint16_t value = htons(port);
    nftnl_expr* immediate = add("immediate");
    nftnl_expr_set_u32(immediate, NFTNL_EXPR_IMM_DREG, NFT_REG_1);
    nftnl_expr_set(immediate, NFTNL_EXPR_IMM_DATA, &value, sizeof value);
    nftnl_expr* tproxy = add("tproxy");
    nftnl_expr_set_u32(tproxy, NFTNL_EXPR_TPROXY_FAMILY, protocol);
    nftnl_expr_set_u32(tproxy, NFTNL_EXPR_TPROXY_REG_PORT, NFT_REG_1);
}

void RuleBuilder::put(nlmsghdr& message) const
{
    nftnl_rule_nlmsg_build_payload(&message, rule_.get());
}

} // namespace forwarding_nftables
