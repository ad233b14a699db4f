// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <libnftnl/rule.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>

namespace forwarding_conntrack
{

/// One nf_tables rule of table `inet NAME` in the making: expressions work on 4 byte registers,
/// numbered from 0 here. Returns itself, to be written as one sentence.
class Rule
{
public:
    Rule(const std::string& table, const char* chain);

    Rule& meta(std::uint32_t key, unsigned reg);
    Rule& payload(nft_payload_bases base, std::uint32_t offset, std::uint32_t size, unsigned reg);
    Rule& compare(nft_cmp_ops op, unsigned reg, const void* value, std::uint32_t size);
    template <typename Value>
    Rule& compare(nft_cmp_ops op, unsigned reg, Value value)
    {
        return compare(op, reg, &value, sizeof value);
    }
    Rule& lookup(const char* set, unsigned reg);
    Rule& local_destination(); ///< the destination is an address of this host
    Rule& zone(std::uint16_t zone);
    Rule& notrack();
    Rule& verdict(std::uint32_t verdict);

    void build(nlmsghdr& message) const;

private:
    nftnl_expr* append(const char* name);

    struct Release {
        void operator()(nftnl_rule* rule) const { nftnl_rule_free(rule); }
    };
    std::unique_ptr<nftnl_rule, Release> rule_;
};

} // namespace forwarding_conntrack
