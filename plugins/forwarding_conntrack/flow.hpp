// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include <mediaproxy/forwarding.h>

namespace forwarding_conntrack
{

using BothWays = std::array<mp_traffic, 2>; ///< from the caller, from the callee

/// One flow as installed: an entry of connection tracking from caller_remote -> caller_local, with
/// the reply callee_remote -> callee_local, and both local endpoints in the guard table's sets.
struct Flow {
    mp_flow_id id = 0;
    mp_endpoint caller_remote{}, caller_local{}, callee_local{}, callee_remote{};
    std::uint32_t timeout_s = 0; ///< of an entry that nobody sends through
    BothWays earlier{};          ///< what entries carried that this flow had before the present one
    BothWays seen{};             ///< what the present entry had carried at the last reading
    bool switched = false;       ///< on, unless somebody has changed the table since

    std::uint8_t family() const { return caller_local.family; }

    mp_flow_reading reading() const
    {
        mp_flow_reading result{id, earlier[0], earlier[1], -1, -1};
        result.from_caller.packets += seen[0].packets;
        result.from_caller.bytes += seen[0].bytes;
        result.from_callee.packets += seen[1].packets;
        result.from_callee.bytes += seen[1].bytes;
        return result;
    }

    /// The present entry is no more: what it was last seen to carry stays counted.
    void close_entry()
    {
        const mp_flow_reading sum = reading();
        earlier = {sum.from_caller, sum.from_callee};
        seen = {};
    }
};

inline std::size_t address_size(const mp_endpoint& endpoint)
{
    return endpoint.family == 4 ? 4 : 16;
}

inline bool same(const mp_endpoint& a, const mp_endpoint& b)
{
    return a.family == b.family && a.port == b.port &&
           std::memcmp(a.address, b.address, address_size(a)) == 0;
}

/// The same four endpoints.
inline bool same_path(const Flow& a, const Flow& b)
{
    return same(a.caller_remote, b.caller_remote) && same(a.caller_local, b.caller_local) &&
           same(a.callee_local, b.callee_local) && same(a.callee_remote, b.callee_remote);
}

} // namespace forwarding_conntrack
