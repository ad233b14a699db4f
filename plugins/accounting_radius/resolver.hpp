// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <sys/socket.h>
#include <vector>

#include "result.hpp"
#include "signal.hpp"

namespace mediaproxy::accounting_radius
{

/// Where a datagram goes to or comes from.
struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t length = 0;

    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
    int family() const noexcept { return storage.ss_family; }
    std::string host() const; ///< numeric, without the port
};

/// The addresses of a host, at least one. A name is asked for on a thread of its own, which is left
/// behind when `cancelled` is raised: name servers that are away can keep it for half a minute.
Result<std::vector<SocketAddress>> resolve(const std::string& host, std::uint16_t port,
                                           const Signal& cancelled);

} // namespace mediaproxy::accounting_radius
