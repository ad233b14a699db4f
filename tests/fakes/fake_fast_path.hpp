// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <map>
#include <vector>

#include "session/types.hpp"

namespace mediaproxy::fakes
{

/// A forwarding back end that carries what the test says it carried.
class FakeFastPath : public session::FastPath
{
public:
    std::map<session::FlowId, mp_flow_reading> totals; ///< what uninstall() will say
    std::vector<session::FlowId> uninstalled;

    mp_flow_reading uninstall(session::FlowId id) noexcept override
    {
        uninstalled.push_back(id);
        mp_flow_reading reading{};
        reading.id = id;
        reading.caller_seen_ms = reading.callee_seen_ms = -1;
        const auto found = totals.find(id);
        return found == totals.end() ? reading : found->second;
    }
};

} // namespace mediaproxy::fakes
