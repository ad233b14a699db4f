// SPDX-License-Identifier: GPL-2.0-or-later
#include "endpoint.hpp"

#include <arpa/inet.h>

namespace forwarding_userspace
{

std::optional<SocketAddress> to_socket_address(const mp_endpoint& endpoint)
{
    SocketAddress result;
    if (endpoint.family == 4) {
        result.v4 = {};
        result.v4.sin_family = AF_INET;
        result.v4.sin_port = htons(endpoint.port);
        std::memcpy(&result.v4.sin_addr, endpoint.address, sizeof result.v4.sin_addr);
        result.size = sizeof result.v4;
        return result;
    }
    if (endpoint.family != 6)
        return std::nullopt;
    result.v6.sin6_family = AF_INET6;
    result.v6.sin6_port = htons(endpoint.port);
    std::memcpy(&result.v6.sin6_addr, endpoint.address, sizeof result.v6.sin6_addr);
    return result;
}

mp_endpoint to_endpoint(const sockaddr& address)
{
    mp_endpoint result{};
    if (address.sa_family == AF_INET) {
        const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
        result.family = 4;
        result.port = ntohs(v4.sin_port);
        std::memcpy(result.address, &v4.sin_addr, sizeof v4.sin_addr);
    } else if (address.sa_family == AF_INET6) {
        const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
        result.family = 6;
        result.port = ntohs(v6.sin6_port);
        std::memcpy(result.address, &v6.sin6_addr, sizeof v6.sin6_addr);
    }
    return result;
}

} // namespace forwarding_userspace
