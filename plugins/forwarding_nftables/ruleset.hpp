// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <span>
#include <string>
#include <vector>

#include "layout.hpp"
#include "support/netlink_socket.hpp"
#include "support/nft_batch.hpp"

namespace forwarding_nftables
{

/// One table in the kernel, of any family.
struct TableEntry {
    std::uint8_t protocol; ///< NFPROTO_*
    std::string name;
    std::string comment; ///< "" for none
};

/// Tables, chains and rules of one layout: everything but the elements. No function waits for
/// anything; each is one transaction or one dump.
class Ruleset
{
public:
    using NftBatch = mediaproxy::plugin_support::NftBatch;
    using NetlinkSocket = mediaproxy::plugin_support::NetlinkSocket;

    Ruleset(const Layout& layout, NetlinkSocket& socket, NftBatch& batch)
        : layout_(layout), socket_(socket), batch_(batch)
    {
    }

    /// Whether the kernel would take it all. Nothing of it stays.
    mp_status probe(mp_error& error);
    /// Makes it anew, empty, in the place of what there is of it.
    mp_status build(mp_error& error);
    enum class Condition {
        intact,  ///< nothing was taken away or added by others; no other version or setting made it
        damaged, ///< or not there
        unknown, ///< the kernel did not tell all: to be looked at again
    };
    Condition condition();
    /// Removes the tables of this name, in every family that this back end uses.
    mp_status remove();
    /// Some other daemon, or another back end of this one, forwards in this network namespace.
    bool has_neighbours();
    /// Transactions that changed the ruleset, whoever made them; 0 when the kernel does not tell.
    std::uint32_t generation();
    /// Transactions of this object that took effect.
    std::uint32_t commits() const noexcept { return commits_; }

    /// Families that this kernel has at all.
    const std::vector<Family>& families() const noexcept { return families_; }

private:
    /// Whether the kernel puts fragments together before it asks us.
    enum class Reassembly { kernel, none };

    struct Names {
        std::uint8_t protocol;
        const char* table;
    };

    NftBatch::Outcome commit();
    NftBatch::Outcome make(const std::vector<TableEntry>& replaced, Reassembly reassembly,
                           const char* table, bool keep);
    void put_table(std::uint16_t type, const Names& names, std::uint16_t flags);
    void put_map(const Names& names, Family family, std::uint32_t id);
    void put_base_chain(const Names& names, const std::string& chain, const char* device);
    void put_reassembly(const Names& names);
    void put_rule(const Names& names, const std::string& chain, Family family, std::uint32_t map_id,
                  Reassembly reassembly);
    /// Asks for tables, chains or rules; what goes wrong is in `gap_` then.
    void dump(std::uint16_t type, std::uint8_t protocol, const char* table,
              const NetlinkSocket::OnMessage& on_message);
    bool looks_intact();
    std::vector<TableEntry> tables(std::span<const std::uint8_t> protocols);
    std::size_t count_rules(std::uint8_t protocol);
    std::size_t count_hooks(std::uint8_t protocol);
    std::vector<std::uint8_t> protocols() const;
    /// A device of the settings may go and come back.
    std::vector<std::string> present_devices() const;
    /// Of the devices of the settings that are there, in bytes; 0 when there are none.
    std::uint32_t smallest_mtu() const;

    const Layout& layout_;
    NetlinkSocket& socket_;
    NftBatch& batch_;
    std::vector<Family> families_;
    Reassembly reassembly_ = Reassembly::kernel;
    std::uint32_t mtu_ = 0; ///< that the rules know, on devices
    std::uint32_t commits_ = 0;
    int gap_ = 0; ///< why a dump since this was 0 may have left something out
};

} // namespace forwarding_nftables
