// SPDX-License-Identifier: GPL-2.0-or-later
#include "address.hpp"

#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace media_load
{
namespace
{

const sockaddr_in& four(const Address& address) noexcept
{
    return reinterpret_cast<const sockaddr_in&>(address.storage);
}

const sockaddr_in6& six(const Address& address) noexcept
{
    return reinterpret_cast<const sockaddr_in6&>(address.storage);
}

/// Where the port is, in network order.
in_port_t& port_of(Address& address) noexcept
{
    return address.storage.ss_family == AF_INET6
               ? reinterpret_cast<sockaddr_in6&>(address.storage).sin6_port
               : reinterpret_cast<sockaddr_in&>(address.storage).sin_port;
}

} // namespace

std::optional<Address> Address::parse(const std::string& ip, std::uint16_t port)
{
    Address result;
    auto& v4 = reinterpret_cast<sockaddr_in&>(result.storage);
    auto& v6 = reinterpret_cast<sockaddr_in6&>(result.storage);
    if (inet_pton(AF_INET, ip.c_str(), &v4.sin_addr) == 1) {
        result.storage.ss_family = AF_INET;
        result.size = sizeof v4;
    } else if (inet_pton(AF_INET6, ip.c_str(), &v6.sin6_addr) == 1) {
        result.storage.ss_family = AF_INET6;
        result.size = sizeof v6;
    } else {
        return std::nullopt;
    }
    port_of(result) = htons(port);
    return result;
}

std::string Address::text() const
{
    std::array<char, INET6_ADDRSTRLEN> ip{};
    if (storage.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &six(*this).sin6_addr, ip.data(), ip.size());
        return "[" + std::string(ip.data()) + "]:" + std::to_string(ntohs(six(*this).sin6_port));
    }
    inet_ntop(AF_INET, &four(*this).sin_addr, ip.data(), ip.size());
    return std::string(ip.data()) + ":" + std::to_string(ntohs(four(*this).sin_port));
}

Address Address::beside(std::uint16_t ports) const
{
    Address result = *this;
    in_port_t& port = port_of(result);
    port = htons(static_cast<std::uint16_t>(ntohs(port) + ports));
    return result;
}

bool Address::operator==(const Address& other) const noexcept
{
    if (storage.ss_family != other.storage.ss_family)
        return false;
    if (storage.ss_family == AF_INET6)
        return six(*this).sin6_port == six(other).sin6_port &&
               std::memcmp(&six(*this).sin6_addr, &six(other).sin6_addr, sizeof(in6_addr)) == 0;
    return four(*this).sin_port == four(other).sin_port &&
           four(*this).sin_addr.s_addr == four(other).sin_addr.s_addr;
}

} // namespace media_load
