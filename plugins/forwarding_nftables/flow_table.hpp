// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "elements.hpp"

namespace forwarding_nftables
{

/// One way of a flow: what comes from the caller (MP_SIDE_CALLER) or from the callee.
struct Way {
    Key key;
    Data data;
    mp_endpoint out_source{}, out_destination{}; ///< what `data` writes
    Hop hop{};                                   ///< netdev only
    mp_traffic before{};                         ///< counted by elements that are gone
    mp_traffic now{};                            ///< last known of the present element
    std::uint64_t seen_in = 0;                   ///< dump that had its element last

    /// The present element has this counter. A smaller one than before means that it is another
    /// element, or that somebody has reset it.
    void count(const mp_traffic& counted) noexcept
    {
        if (counted.packets < now.packets || counted.bytes < now.bytes)
            close();
        now = counted;
    }
    /// The element is gone.
    void close() noexcept
    {
        before = total();
        now = {};
    }
    mp_traffic total() const noexcept
    {
        return {before.packets + now.packets, before.bytes + now.bytes};
    }
};

struct Flow {
    mp_flow_id id = 0;
    Family family = Family::ipv4;
    std::array<Way, 2> ways;   ///< by side
    std::uint64_t made_in = 0; ///< dump that was the newest when its elements were made
    bool lost = false;         ///< reported, waits for its removal
    /// Waits for its turn to be looked after: its ways out may have changed. `needs_mending`: an
    /// element seems to be missing, too.
    bool has_chore = false, needs_mending = false;

    /// The time of the last packet is not known here.
    mp_flow_reading reading() const noexcept
    {
        return {id, ways[0].total(), ways[1].total(), -1, -1};
    }
};

/// What is installed, whatever the kernel has of it: the desired state. [core-thread]
class FlowTable
{
public:
    struct Place {
        Flow* flow = nullptr;
        std::size_t side = 0;
    };

    Flow* find(mp_flow_id id) const noexcept
    {
        const auto found = flows_.find(id);
        return found == flows_.end() ? nullptr : found->second.get();
    }
    Place find(const Key& key) const noexcept
    {
        const auto found = places_.find(key);
        return found == places_.end() ? Place{} : found->second;
    }
    /// False when another flow has one of the keys.
    bool has_room_for(const Flow& flow) const noexcept;
    Flow& add(std::unique_ptr<Flow> flow);
    std::unique_ptr<Flow> take(mp_flow_id id);

    const std::unordered_map<mp_flow_id, std::unique_ptr<Flow>>& all() const noexcept
    {
        return flows_;
    }

private:
    std::unordered_map<mp_flow_id, std::unique_ptr<Flow>> flows_;
    std::unordered_map<Key, Place, KeyHash> places_;
};

} // namespace forwarding_nftables
