// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <libnftnl/rule.h>
#include <linux/netfilter/nf_tables.h>

struct nftnl_expr;

namespace forwarding_nftables
{

/// One rule, expression by expression. Registers are counted in words of four bytes from 0.
class RuleBuilder
{
public:
    RuleBuilder(std::uint8_t protocol, const char* table, const char* chain);

    void load_meta(std::uint32_t key, unsigned word);
    void load_payload(std::uint32_t base, unsigned offset, unsigned size, unsigned word);
    void mask(unsigned word, const void* bits, unsigned size);
    void compare(std::uint32_t operation, unsigned word, const void* value, unsigned size);
    void look_up(const char* map, std::uint32_t map_id, unsigned key_word, unsigned data_word);
    void notrack();
    /// Keeps a UDP checksum right, and one that is 0 as it is.
    void write_payload(std::uint32_t base, unsigned offset, unsigned size, unsigned word);
    /// For IPv4 addresses: the checksum of the IP header too.
    void write_ipv4_header(unsigned offset, unsigned size, unsigned word);
    void forward(unsigned device_word, unsigned address_word, std::uint8_t protocol);
    void tproxy(std::uint8_t protocol, std::uint16_t port);

    void put(nlmsghdr& message) const;

private:
    nftnl_expr* add(const char* name);

    struct Free {
        void operator()(nftnl_rule* rule) const noexcept { nftnl_rule_free(rule); }
    };
    std::unique_ptr<nftnl_rule, Free> rule_;
};

} // namespace forwarding_nftables
