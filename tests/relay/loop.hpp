// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <string>
#include <unistd.h>

#include "net/address.hpp"

namespace mediaproxy::test
{

/// Runs the loop until `done()` says so; false when that takes too long.
template <class Done>
bool run_until(asio::io_context& io, Done done,
               std::chrono::milliseconds patience = std::chrono::seconds(10))
{
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!done()) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        if (io.stopped())
            io.restart();
        io.run_one_for(std::chrono::milliseconds(5));
    }
    return true;
}

/// A loopback address that only this process uses, so that all of its ports are free.
inline net::Address own_loopback(std::uint8_t last = 1)
{
    const auto pid = static_cast<std::uint32_t>(::getpid());
    return net::Address::v4({127, static_cast<std::uint8_t>(1 + (pid >> 8U) % 250),
                             static_cast<std::uint8_t>(pid & 255U), last});
}

inline std::size_t open_descriptors()
{
    const std::filesystem::directory_iterator entries("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

} // namespace mediaproxy::test
