// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

#include <linux/netlink.h>

#include "flow.hpp"

namespace forwarding_conntrack
{

/// An entry of connection tracking.
struct KernelEntry {
    Flow flow; ///< the four endpoints only
    BothWays traffic{};
    std::uint32_t mark = 0;
    std::uint32_t timeout_s = 0; ///< until it would vanish
    std::uint16_t zone = 0;
};

/// Of an answer to IPCTNL_MSG_CT_GET. What it does not tell is 0, a family as well. Each flow is
/// read once a second: this copies what is asked of an entry and allocates nothing, while
/// libnetfilter_conntrack makes an object of each and copies all that the kernel knows.
KernelEntry to_entry(const nlmsghdr& answer);

} // namespace forwarding_conntrack
