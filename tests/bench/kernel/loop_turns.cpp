// SPDX-License-Identifier: GPL-2.0-or-later
// Preloaded into a daemon: how long its first thread is held by one turn of its loop, which is from
// the return of epoll_wait() to the next call.
//
//   LD_PRELOAD=loop_turns.so LOOP_TURNS=FILE mediaproxyd ...
//
// FILE (16 bytes, made by whoever reads it) holds the longest turn's wall time and the most CPU
// time of a turn, nanoseconds, since the reader last wrote zeros there.

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

namespace
{

struct Longest {
    std::atomic<std::int64_t> wall, cpu;
};
static_assert(sizeof(Longest) == 16 && std::atomic<std::int64_t>::is_always_lock_free);

Longest* map_file()
{
    const char* path = std::getenv("LOOP_TURNS");
    const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return nullptr;
    void* memory = mmap(nullptr, sizeof(Longest), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return memory == MAP_FAILED ? nullptr : static_cast<Longest*>(memory);
}

std::int64_t now(clockid_t clock)
{
    timespec time{};
    clock_gettime(clock, &time);
    return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

void raise(std::atomic<std::int64_t>& longest, std::int64_t value)
{
    if (value > longest.load(std::memory_order_relaxed))
        longest.store(value, std::memory_order_relaxed);
}

} // namespace

extern "C" int epoll_wait(int epoll, epoll_event* events, int size, int timeout)
{
    using Wait = int (*)(int, epoll_event*, int, int);
    static const auto real = reinterpret_cast<Wait>(dlsym(RTLD_NEXT, "epoll_wait"));
    static Longest* const longest = map_file();
    static std::int64_t wall = 0, cpu = 0; // when the turn began
    if (!longest || gettid() != getpid())
        return real(epoll, events, size, timeout);
    if (wall != 0) {
        raise(longest->wall, now(CLOCK_MONOTONIC) - wall);
        raise(longest->cpu, now(CLOCK_THREAD_CPUTIME_ID) - cpu);
    }
    const int count = real(epoll, events, size, timeout);
    wall = now(CLOCK_MONOTONIC);
    cpu = now(CLOCK_THREAD_CPUTIME_ID);
    return count;
}
