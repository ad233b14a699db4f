// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

namespace mediaproxy
{

/// Whether somebody waits for what a thread does. What can be done later gives way on a busy CPU:
/// the latency of the core thread is SIP latency.
enum class Urgency { awaited, later };

/// For a thread's first act: its name (15 characters at most) and its place among the others.
inline void begin_thread(const char* name, Urgency urgency)
{
    constexpr int nice_later = 10;
    ::pthread_setname_np(::pthread_self(), name);
    if (urgency == Urgency::later) // of this thread alone, as Linux has it
        ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), nice_later);
}

} // namespace mediaproxy
