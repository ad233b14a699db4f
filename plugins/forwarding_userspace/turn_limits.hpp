// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace forwarding_userspace
{

/// One socket may not hold up the others: packets taken from it in one turn.
constexpr unsigned most_packets = 64;

/// The core thread may not hold up the packets: forwarded before its commands are looked at.
constexpr unsigned least_progress = 16;

} // namespace forwarding_userspace
