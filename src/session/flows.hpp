// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <unordered_map>

#include "session/types.hpp"

namespace mediaproxy::session
{

/// The flows that a forwarding back end has or is about to get, by their ids.
class Flows
{
public:
    struct Flow {
        Stream* stream = nullptr; ///< borrowed; a stream ends its flows before it goes
        ComponentKind component = ComponentKind::rtp;
        PerParty<Traffic> counted; ///< what readings have told so far
    };

    /// What a reading says beyond the one before.
    struct Progress {
        PerParty<Traffic> traffic;
        PerParty<std::int64_t> seen_ms; ///< CLOCK_BOOTTIME; -1: the back end cannot tell
    };

    Flows(FastPath& fast_path, FlowId first) : fast_path_(fast_path), next_(first) {}

    FlowId begin(Stream& stream, ComponentKind component);
    /// Null when the flow has ended.
    Flow* find(FlowId id) noexcept;
    static Progress advance(Flow& flow, const mp_flow_reading& reading) noexcept;
    /// The flow is no longer the back end's.
    Progress forget(FlowId id, const mp_flow_reading& totals) noexcept;
    /// Takes the flow back from the back end.
    Progress stop(FlowId id) noexcept { return forget(id, fast_path_.uninstall(id)); }
    std::size_t size() const noexcept { return flows_.size(); }

private:
    FastPath& fast_path_;
    FlowId next_;
    std::unordered_map<FlowId, Flow> flows_;
};

mp_endpoint to_abi(const net::Endpoint& endpoint) noexcept;

} // namespace mediaproxy::session
