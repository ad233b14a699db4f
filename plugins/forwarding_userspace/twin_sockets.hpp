// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <vector>

#include <liburing.h>

#include "flow.hpp"

namespace forwarding_userspace
{

/// Twins: second sockets on the ports of legs, connected to the legs' parties. The kernel hands a
/// party's packets to the twin and everybody else's to the leg's own socket, and neither a packet
/// that comes to a twin nor one that goes out by it needs a look at the routing table.
///
/// They live in the ring's own table of files and so take none of the process's descriptors, which
/// limit how many calls there can be. One thread, the ring's.
class TwinSockets
{
public:
    /// Where the kernel refuses, or is older than 6.13, there will just be no twins.
    void register_with(io_uring& ring);

    /// False when it cannot be had; the leg goes on with its own socket.
    bool open(Leg& leg);

    /// The twin of nothing: what still came was read before.
    void close(Leg& leg);

private:
    io_uring* ring_ = nullptr;
    std::vector<int> free_; ///< places in the ring's table
};

} // namespace forwarding_userspace
