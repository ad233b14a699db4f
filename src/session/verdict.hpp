// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "net/endpoint.hpp"
#include "session/types.hpp"

namespace mediaproxy::session
{

/// What becomes of a packet.
struct Verdict {
    enum class Action : std::uint8_t {
        drop,
        forward, ///< send the bytes to `to` from the socket `out_slot`/`out_component`
        queued,  ///< STUN, kept by the session until the other leg is learned
    };
    Action action = Action::drop;
    ComponentKind out_component = ComponentKind::rtp;
    bool install_ready = false; ///< both legs learned: call SessionTable::begin_flow
    bool release_queue = false; ///< call SessionTable::take_queued with this packet's role
    std::uint32_t out_slot = 0; ///< PortPair::slot of the other leg
    net::Endpoint to;
};

/// A STUN packet that had to wait for its receiver to be learned.
struct QueuedPacket {
    std::uint32_t out_slot = 0;
    ComponentKind out_component = ComponentKind::rtp;
    net::Endpoint to;
    std::vector<std::byte> data;
};

} // namespace mediaproxy::session
