// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "support/netlink_socket.hpp"

namespace mediaproxy::plugin_support
{

/// What connection tracking says of a packet that a back end forwards; the bits of `ct state`.
enum class CtState : std::uint32_t { established = 2, untracked = 64 };

/// The firewall's chain that would swallow forwarded packets of that state, as
/// "table inet filter, chain forward"; "" when none does, nothing when the kernel did not tell all
/// rules (somebody changed them meanwhile, or it has no memory). That is a base chain of the
/// forward hook with policy drop where neither it nor a chain it jumps to accepts that state, or
/// everything. What rules drop expressly is not seen, nor are chains of the legacy iptables. May
/// block: takes as long as the dump of those tables' rules.
std::optional<std::string> blocking_forward_chain(NetlinkSocket& socket, CtState state);

} // namespace mediaproxy::plugin_support
