// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <deque>
#include <random>

#include "base/time.hpp"
#include "net/endpoint.hpp"
#include "relay/options.hpp"

namespace mediaproxy::relay
{

/// The port pairs of one local address that have no sockets, named by their even port.
class UnboundPorts
{
public:
    UnboundPorts(PortRange range, std::mt19937& random);
    /// The next pair to try: one of those unused longest, in random order; 0 when there is none.
    net::Port take(TimePoint now);
    void give_back(net::Port port) { free_.push_back(port); }
    /// Somebody else has it: it comes again at `again`.
    void set_aside(net::Port port, TimePoint again) { aside_.push_back({port, again}); }

private:
    struct Aside {
        net::Port port;
        TimePoint again;
    };
    std::deque<net::Port> free_;
    std::deque<Aside> aside_;
};

} // namespace mediaproxy::relay
