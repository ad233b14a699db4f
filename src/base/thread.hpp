// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

namespace mediaproxy
{

/// Whether somebody waits for what a thread does. What can be done later gives way on a busy CPU:
/// the latency of the core thread is SIP latency.
enum class Urgency {
    awaited,
    soon,  ///< in a fraction of a second
    later, ///< when there is time
};

/// Of the calling thread, and of those that it starts. Where the kernel refuses, nothing changes.
void set_urgency(Urgency urgency) noexcept;

/// The calling thread runs before all that are not realtime (SCHED_RR, the least priority); not the
/// threads that it starts from then on. Returns an errno: EPERM without CAP_SYS_NICE or
/// RLIMIT_RTPRIO.
int enter_realtime() noexcept;

/// For a thread's first act: its name (15 characters at most) and its place among the others.
void begin_thread(const char* name, Urgency urgency) noexcept;

} // namespace mediaproxy
