// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/unbound_ports.hpp"

#include <algorithm>

namespace mediaproxy::relay
{

UnboundPorts::UnboundPorts(PortRange range, std::mt19937& random)
{
    for (std::uint32_t port = range.first; port < range.last; port += 2)
        free_.push_back(static_cast<net::Port>(port));
    std::shuffle(free_.begin(), free_.end(), random);
}

net::Port UnboundPorts::take(TimePoint now)
{
    while (!aside_.empty() && aside_.front().again <= now) {
        free_.push_back(aside_.front().port);
        aside_.pop_front();
    }
    if (free_.empty())
        return 0;
    const net::Port port = free_.front();
    free_.pop_front();
    return port;
}

} // namespace mediaproxy::relay
