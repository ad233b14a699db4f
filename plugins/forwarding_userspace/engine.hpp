// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <memory>
#include <span>

#include "flow.hpp"
#include "host_link.hpp"
#include "settings.hpp"

namespace forwarding_userspace
{

enum class Wait { for_work, never };

/// Moves the packets of one worker's flows. Everything runs on the worker's thread, the factory
/// functions too: a ring belongs to the thread that makes it.
class Engine
{
public:
    struct Environment {
        HostLink host;
        Gso gso;
        int wake_fd;                        ///< an eventfd, written to end wait()
        const std::atomic<bool>& attention; ///< set: process() returns soon, the core thread waits
    };

    virtual ~Engine() = default;

    /// A flow whose sockets cannot be read is reported as lost, then or soon.
    virtual void attach(Flow& flow) = 0;

    /// When it returns nothing reads the sockets, all that was read is sent, and the sockets give
    /// plain datagrams.
    virtual void detach(std::span<Flow* const> flows) = 0;

    virtual void wait(Wait how) = 0;

    /// Sends what is queued: a command may change where it was to go.
    virtual void flush() = 0;

    /// Forwards what wait() found, at most 64 packets of each socket.
    virtual void process() = 0;
};

/// Nothing when the kernel lacks something; `error` says what.
std::unique_ptr<Engine> make_epoll_engine(const Engine::Environment& environment, mp_error& error);
std::unique_ptr<Engine> make_uring_engine(const Engine::Environment& environment, mp_error& error);

/// CLOCK_BOOTTIME in milliseconds.
std::int64_t boot_time_ms();

} // namespace forwarding_userspace
