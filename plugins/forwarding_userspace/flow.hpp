// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include <mediaproxy/forwarding.h>

#include "endpoint.hpp"
#include "rate_meter.hpp"

namespace forwarding_userspace
{

struct Flow;

/// How a leg's socket is read: packet by packet, or in bursts with room for large datagrams.
enum class Path : std::uint8_t { packets, bursts };

/// What the kernel is doing for a leg right now (io_uring only).
enum class Operation : std::uint8_t { none, receive, poll };

/// A leg's second socket, see TwinSockets (io_uring only).
struct Twin {
    enum class State : std::uint8_t {
        none,
        opened,    ///< not read yet
        receiving, ///< carries the leg's packets
        ending,    ///< they go to the leg's own socket again; what it still holds is read
        lingering, ///< it was empty; read on for what was already on its way to it in the kernel
    };
    int file = -1; ///< its place in the ring's table
    SocketAddress own;
    State state = State::none;
    bool emptied = false;    ///< while ending: its receive began after that and has found nothing
    std::int64_t linger = 0; ///< until when (boot_time_ms) it lingers
};

/// One socket of a flow and the party behind it. Made by the core thread; from install to remove
/// only its worker touches it.
struct Leg {
    int fd = -1;
    std::uint32_t side = MP_SIDE_CALLER;
    SocketAddress remote;           ///< whom it hears, and where the other leg's packets go
    std::uint32_t header_bytes = 0; ///< IP and UDP headers of each packet
    Leg* other = nullptr;
    Flow* flow = nullptr;

    mp_traffic received{};
    std::int64_t seen_ms = -1;

    RateMeter rate;
    std::uint32_t appetite = 1;     ///< packets (or messages of a burst) to try in the next visit
    std::uint64_t last_turn = 0;    ///< of its engine, in which the leg was read
    std::uint32_t turn_packets = 0; ///< in that turn
    std::uint8_t streak = 0;        ///< turns in a row with as much as it tried (epoll only)
    std::uint8_t caution = 1;       ///< such turns before it tries more
    Path path = Path::packets;
    Operation operation = Operation::none;
    Twin twin;
    bool leaving = false;     ///< being detached: do not read on
    bool gro = false;         ///< UDP_GRO is set on the socket
    bool oversize = false;    ///< sends datagrams that only the burst path's buffers hold
    bool gso_refused = false; ///< the way out cannot do UDP_SEGMENT

    void count(std::uint64_t packets, std::uint64_t payload, std::int64_t now)
    {
        received.packets += packets;
        received.bytes += payload + packets * header_bytes;
        seen_ms = now;
    }
};

/// Sockets and parties of a flow, by side; the sockets are the host's.
struct Move {
    struct Side {
        int fd;
        SocketAddress remote;
        std::uint32_t header_bytes;
    };
    std::array<Side, 2> sides;
};

/// One flow with its two legs; index 0 is the caller's, 1 the callee's.
struct Flow {
    mp_flow_id id = 0;
    std::size_t place = 0; ///< in its worker's list
    bool failed = false;   ///< reported as lost, waits for its removal
    std::array<Leg, 2> legs;

    explicit Flow(mp_flow_id flow_id) : id(flow_id)
    {
        for (std::uint32_t side = 0; side < 2; ++side) {
            legs[side].side = side;
            legs[side].flow = this;
            legs[side].other = &legs[1 - side];
        }
    }
    Flow(const Flow&) = delete;
    Flow& operator=(const Flow&) = delete;

    void move_to(const Move& move)
    {
        for (std::size_t side = 0; side < legs.size(); ++side) {
            legs[side].fd = move.sides[side].fd;
            legs[side].remote = move.sides[side].remote;
            legs[side].header_bytes = move.sides[side].header_bytes;
        }
    }

    mp_flow_reading reading() const
    {
        return {id, legs[0].received, legs[1].received, legs[0].seen_ms, legs[1].seen_ms};
    }
};

} // namespace forwarding_userspace
