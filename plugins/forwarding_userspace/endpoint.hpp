// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstring>
#include <optional>

#include <netinet/in.h>
#include <sys/socket.h>

#include <mediaproxy/types.h>

namespace forwarding_userspace
{

/// An IPv4 or IPv6 socket address as the kernel reads and writes it.
struct SocketAddress {
    union {
        sockaddr any;
        sockaddr_in v4;
        sockaddr_in6 v6;
    };
    socklen_t size;

    SocketAddress() : v6{}, size(sizeof(sockaddr_in6)) {}
};

/// Nothing when the family is neither 4 nor 6.
std::optional<SocketAddress> to_socket_address(const mp_endpoint& endpoint);

/// Family 0 when it is neither IPv4 nor IPv6.
mp_endpoint to_endpoint(const sockaddr& address);

/// True when a packet that came from `source` was sent by `remote`. Scope and flow label of IPv6
/// do not matter.
inline bool same_endpoint(const sockaddr& source, const SocketAddress& remote)
{
    if (source.sa_family != remote.any.sa_family)
        return false;
    if (source.sa_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(source);
        return v4.sin_port == remote.v4.sin_port && v4.sin_addr.s_addr == remote.v4.sin_addr.s_addr;
    }
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(source);
    return v6.sin6_port == remote.v6.sin6_port &&
           std::memcmp(&v6.sin6_addr, &remote.v6.sin6_addr, sizeof v6.sin6_addr) == 0;
}

} // namespace forwarding_userspace
