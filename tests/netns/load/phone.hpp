// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "address.hpp"
#include "netns.hpp"

namespace media_load
{

/// One end of a stream: a bound, unconnected socket that it speaks from, and a second one, two
/// ports up, where it listens only: signalling may name either.
class Phone
{
public:
    static constexpr std::size_t sockets = 2;

    /// Throws std::system_error.
    Phone(const Netns& place, const Address& local, const Address& relay);
    ~Phone();
    Phone(const Phone&) = delete;
    Phone& operator=(const Phone&) = delete;

    std::span<const int, sockets> descriptors() const noexcept { return fds_; }
    const Address& relay() const noexcept { return relay_; }

    /// How many of the datagrams were sent, all from the first socket to the relay's port.
    std::size_t send(std::span<const std::span<const std::byte>> datagrams) noexcept;

private:
    std::array<int, sockets> fds_{-1, -1};
    Address relay_;
};

} // namespace media_load
