// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/owner_tables.hpp"

#include <cstdio>
#include <initializer_list>

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

namespace mediaproxy::plugin_support
{
namespace
{

// A table name has 255 letters at most.
constexpr std::size_t longest_conntrack_owner = 128, longest_nftables_owner = 96;

bool is_plain(char letter) noexcept
{
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9');
}

/// Without the letters that are neither plain nor `allowed`.
std::string plain(std::string_view owner, std::string_view allowed)
{
    std::string result(owner);
    for (char& letter : result) {
        if (!is_plain(letter) && allowed.find(letter) == std::string_view::npos)
            letter = '_';
    }
    return result;
}

bool drop(NftBatch& batch, std::initializer_list<std::uint8_t> protocols, const std::string& name)
{
    bool any = false;
    for (const std::uint8_t protocol : protocols) {
        batch.begin();
        mnl_attr_put_strz(&batch.add(NFT_MSG_DELTABLE, protocol, 0), NFTA_TABLE_NAME, name.c_str());
        any = batch.commit().ok() || any;
    }
    return any;
}

} // namespace

std::string conntrack_table(std::string_view owner)
{
    std::string name = plain(owner.substr(0, longest_conntrack_owner), ".");
    if (name != owner)
        name += '_' + std::to_string(fingerprint(owner));
    return std::string(table_prefix) + name;
}

std::string nftables_table(std::string_view owner)
{
    std::string name = plain(owner.substr(0, longest_nftables_owner), "");
    if (name != owner)
        name += '_' + digest(owner);
    return std::string(table_prefix) + name;
}

bool drop_conntrack_table(NftBatch& batch, std::string_view owner)
{
    return drop(batch, {NFPROTO_INET}, conntrack_table(owner));
}

bool drop_nftables_tables(NftBatch& batch, std::string_view owner)
{
    return drop(batch, {NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_NETDEV}, nftables_table(owner));
}

std::string digest(std::string_view text)
{
    std::uint64_t hash = 0xcbf29ce484222325; // FNV-1a
    for (const char letter : text)
        hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(hash >> 32 ^ hash));
    return digits;
}

} // namespace mediaproxy::plugin_support
