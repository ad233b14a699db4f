// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

#include <mediaproxy/forwarding.h>

namespace forwarding_userspace
{

/// Sets the packet mark and the DSCP that `flow` asks for on `fd`. [core-thread]
mp_status apply_options(int fd, const mp_flow& flow, std::uint8_t family, mp_error& error);

enum class Gro { off, on };

/// False when the kernel refuses.
bool set_gro(int fd, Gro gro);

/// Lets the kernel drop what comes for the socket; what is queued stays.
void refuse_packets(int fd);
void accept_packets(int fd);

/// Takes a pending ICMP error off the socket, so that it does not count as readable for ever.
void clear_errors(int fd);

} // namespace forwarding_userspace
