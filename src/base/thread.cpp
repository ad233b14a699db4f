// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/thread.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace mediaproxy
{

namespace
{

constexpr int nice_soon = 10, nice_later = 19;
/// From Linux 6.12 on a thread that asks for short turns gets them sooner, and one that somebody
/// else waits behind is not left to finish a turn of several milliseconds. The kernel's least;
/// earlier kernels take no notice.
constexpr std::uint64_t short_turn_ns = 100'000;

/// struct sched_attr of sched_setattr(2), which the C library has not.
struct SchedulingAttributes {
    std::uint32_t size = sizeof(SchedulingAttributes);
    std::uint32_t policy = SCHED_OTHER;
    std::uint64_t flags = 0;
    std::int32_t nice = 0;
    std::uint32_t priority = 0;
    std::uint64_t runtime = 0; ///< nanoseconds; 0: as the kernel sees fit
    std::uint64_t deadline = 0;
    std::uint64_t period = 0;
};

} // namespace

void set_urgency(Urgency urgency) noexcept
{
    if (::sched_getscheduler(0) != SCHED_OTHER)
        return; // the administrator has other plans
    SchedulingAttributes wanted;
    wanted.nice = ::getpriority(PRIO_PROCESS, 0); // as the administrator has it, or less
    wanted.runtime = short_turn_ns;
    if (urgency != Urgency::awaited)
        wanted.nice = std::max(wanted.nice, urgency == Urgency::soon ? nice_soon : nice_later);
    ::syscall(SYS_sched_setattr, 0, &wanted, 0U);
}

int enter_realtime() noexcept
{
    sched_param least{};
    least.sched_priority = ::sched_get_priority_min(SCHED_RR);
    return ::sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, &least) == 0 ? 0 : errno;
}

void begin_thread(const char* name, Urgency urgency) noexcept
{
    ::pthread_setname_np(::pthread_self(), name);
    set_urgency(urgency);
}

} // namespace mediaproxy
