// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <mediaproxy/forwarding.h>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "net/endpoint.hpp"
#include "session/types.hpp"

namespace mediaproxy::relay
{

/// What the forwarder needs of a forwarding back end. [core thread]
class FlowBackend
{
public:
    virtual ~FlowBackend() = default;
    /// As the configuration names it: nftables.
    virtual std::string_view name() const noexcept = 0;
    /// The sockets of a flow must not be read by us while it is installed.
    virtual bool reads_sockets() const noexcept = 0;
    /// One transaction; each[i] is MP_OK, or flow i stays on the slow path; then `why` may be set.
    virtual void install(std::span<const mp_flow* const> flows, std::span<mp_status> each,
                         std::string& why) = 0;
    /// They are gone whatever happens; `finals` are their totals.
    virtual void remove(std::span<const mp_flow_id> ids, std::span<mp_flow_reading> finals) = 0;
    /// Readings of all flows, answered by on_readings().
    virtual Result<void> read(std::uint64_t request) = 0;
};

/// What a back end tells us, on the core thread.
class FlowEvents
{
public:
    virtual ~FlowEvents() = default;
    virtual void on_lost(session::FlowId id, std::uint32_t reason) = 0;
    /// A packet from a source that is not the flow's.
    virtual void on_stray(session::FlowId id, session::Party side, const net::Endpoint& source,
                          std::span<const std::byte> data) = 0;
    enum class Piece : std::uint8_t { more_to_come, last };
    virtual void on_readings(std::uint64_t request, std::span<const mp_flow_reading> readings,
                             Piece piece) = 0;
};

} // namespace mediaproxy::relay
