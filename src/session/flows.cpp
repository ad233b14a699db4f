// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/flows.hpp"

#include <algorithm>

namespace mediaproxy::session
{

namespace
{

// A back end's counters that run backwards are its bug; they must not become huge differences.
Traffic advance_to(Traffic& counted, const mp_traffic& now) noexcept
{
    Traffic step;
    step.packets = now.packets > counted.packets ? now.packets - counted.packets : 0;
    step.bytes = now.bytes > counted.bytes ? now.bytes - counted.bytes : 0;
    counted += step;
    return step;
}

} // namespace

FlowId Flows::begin(Stream& stream, ComponentKind component)
{
    const FlowId id = next_++;
    flows_.emplace(id, Flow{&stream, component, {}});
    return id;
}

Flows::Flow* Flows::find(FlowId id) noexcept
{
    const auto found = flows_.find(id);
    return found == flows_.end() ? nullptr : &found->second;
}

Flows::Progress Flows::advance(Flow& flow, const mp_flow_reading& reading) noexcept
{
    Progress progress;
    progress.traffic.caller = advance_to(flow.counted.caller, reading.from_caller);
    progress.traffic.callee = advance_to(flow.counted.callee, reading.from_callee);
    progress.seen_ms = {reading.caller_seen_ms, reading.callee_seen_ms};
    return progress;
}

Flows::Progress Flows::forget(FlowId id, const mp_flow_reading& totals) noexcept
{
    const auto found = flows_.find(id);
    if (found == flows_.end())
        return {};
    const Progress progress = advance(found->second, totals);
    flows_.erase(found);
    return progress;
}

mp_endpoint to_abi(const net::Endpoint& endpoint) noexcept
{
    mp_endpoint out{};
    out.family = static_cast<std::uint8_t>(endpoint.address.family());
    out.port = endpoint.port;
    std::copy(endpoint.address.bytes().begin(), endpoint.address.bytes().end(), out.address);
    return out;
}

} // namespace mediaproxy::session
