// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <span>

#include "flow_table.hpp"
#include "layout.hpp"
#include "support/netlink_socket.hpp"

namespace forwarding_nftables
{

/// Asks the kernel for the element of each way. `problems[i]` is 0 and `on_element` has had it,
/// ENOENT when it is not there, or another errno: nobody knows. Waits for nothing.
void query_ways(mediaproxy::plugin_support::NetlinkSocket& socket, const Layout& layout,
                std::span<const FlowTable::Place> ways, std::span<int> problems,
                const OnElement& on_element);

} // namespace forwarding_nftables
