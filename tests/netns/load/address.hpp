// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include <sys/socket.h>

namespace media_load
{

/// An address and port of UDP, as the system calls want it.
struct Address {
    sockaddr_storage storage{};
    socklen_t size = sizeof(sockaddr_storage);

    static std::optional<Address> parse(const std::string& ip, std::uint16_t port);

    sockaddr* any() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
    std::string text() const;
    /// This one with the port moved up.
    Address beside(std::uint16_t ports) const;
    /// Family, address and port; not IPv6's flow and scope.
    bool operator==(const Address& other) const noexcept;
};

} // namespace media_load
