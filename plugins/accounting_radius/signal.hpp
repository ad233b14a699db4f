// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <sys/eventfd.h>
#include <unistd.h>

#include "support/unique_fd.hpp"

namespace mediaproxy::accounting_radius
{

/// Something that happens once and for all. The descriptor is readable from then on. [any-thread]
class Signal
{
public:
    Signal() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
    {
        if (fd_.value() < 0)
            throw std::runtime_error("no file descriptor left");
    }

    void raise() noexcept
    {
        raised_.store(true, std::memory_order_release);
        const std::uint64_t one = 1;
        [[maybe_unused]] const ssize_t written = ::write(fd_.value(), &one, sizeof one);
    }

    bool raised() const noexcept { return raised_.load(std::memory_order_acquire); }

    int fd() const noexcept { return fd_.value(); }

private:
    std::atomic<bool> raised_{false};
    plugin_support::UniqueFd fd_;
};

} // namespace mediaproxy::accounting_radius
