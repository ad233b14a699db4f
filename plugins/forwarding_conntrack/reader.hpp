// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include <mediaproxy/forwarding.h>

#include "entries.hpp"
#include "flow_table.hpp"

namespace forwarding_conntrack
{

/// Answers read(): goes through all flows, a few in each turn of the host's event loop, so that its
/// price depends on our flows alone and not on how much else is tracked. [core-thread]
class Reader
{
public:
    /// Brings these flows' `seen` up to date.
    using LookAfter = std::function<void(FlowSpan)>;

    Reader(const mp_host* host, const mp_flow_events* events, const FlowTable& flows,
           LookAfter look_after);

    /// A request that comes while one is under way is answered after it.
    void read(std::uint64_t request);

private:
    void begin();
    void step();
    void step_later();

    const mp_host* host_;
    const mp_flow_events* events_;
    const FlowTable& flows_;
    LookAfter look_after_;
    std::vector<mp_flow_id> ids_; ///< of the pass under way
    std::size_t next_ = 0;
    std::vector<std::uint64_t> under_way_; ///< requests that this pass answers
    std::vector<std::uint64_t> waiting_;   ///< for the next pass
    std::vector<Flow*> piece_;
    std::vector<mp_flow_reading> readings_;
};

} // namespace forwarding_conntrack
