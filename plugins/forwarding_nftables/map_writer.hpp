// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <span>
#include <vector>

#include "flow_table.hpp"
#include "layout.hpp"
#include "support/nft_batch.hpp"

namespace forwarding_nftables
{

/// Puts elements into the kernel's maps and takes them out. Nothing here waits for anything.
class MapWriter
{
public:
    using NftBatch = mediaproxy::plugin_support::NftBatch;

    /// `flows` knows the flow of every element that is removed.
    MapWriter(const Layout& layout, NftBatch& batch, const FlowTable& flows)
        : layout_(layout), batch_(batch), flows_(flows)
    {
    }

    /// Both ways of each flow, in one transaction (a thousand flows each). Where the kernel refuses
    /// one the others go in; `errors[i]` is 0 or the errno of flow i.
    void add(std::span<Flow* const> flows, std::span<int> errors);
    /// Ways of flows, each for itself; `errors` likewise: EEXIST says that it is there.
    void add_ways(std::span<const FlowTable::Place> ways, std::span<int> errors);
    /// Takes both ways of each flow out and counts what they carried to the last packet. What is
    /// not there any more keeps its last known counters.
    void remove(std::span<Flow* const> flows);
    /// Elements that no flow has.
    void remove(Family family, std::span<const Key> keys);
    /// Takes `from` out and counts it, then puts `to` in; what comes in between reaches the
    /// sockets. In one transaction nothing would, but what another processor is just sending by the
    /// old elements would be missing in their last counters, one packet in eight exchanges of a
    /// busy flow. 0 or an errno: then `to` is not in, and `from` is out.
    int exchange(Flow& from, Flow& to);

    /// Transactions that took effect.
    std::uint32_t commits() const noexcept { return commits_; }

private:
    struct Change {
        std::uint16_t type = 0;
        std::uint16_t flags = 0;
        Family family = Family::ipv4;
        std::size_t count = 0;
        std::array<Key, 2> keys;
        std::array<Data, 2> data;
        int error = 0;
        std::uint32_t sequence = 0;
    };

    /// Many elements in a message, which costs less than one for each flow. False: nothing
    /// happened, as one of them is not there.
    bool remove_at_once(std::span<Flow* const> flows);
    static Change change(std::uint16_t type, const Flow& flow);
    static Change change(std::uint16_t type, const Flow& flow, std::size_t side);
    /// Carries the changes out, again without those that were refused.
    void carry_out(std::span<Change> changes, const OnElement& on_element = {});
    NftBatch::Outcome attempt(std::span<Change> changes, const OnElement& on_element);

    const Layout& layout_;
    NftBatch& batch_;
    const FlowTable& flows_;
    std::uint32_t commits_ = 0;
};

} // namespace forwarding_nftables
