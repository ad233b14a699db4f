// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <netinet/in.h>
#include <span>
#include <sys/socket.h>

#include "base/unique_fd.hpp"
#include "net/endpoint.hpp"

namespace mediaproxy::relay
{

/// An endpoint in the form of the socket calls.
struct SocketAddress {
    sockaddr_storage storage{};
    socklen_t size = 0;

    SocketAddress() = default;
    explicit SocketAddress(const net::Endpoint& endpoint) noexcept;
    const sockaddr* get() const noexcept { return reinterpret_cast<const sockaddr*>(&storage); }
    sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
    net::Endpoint endpoint() const noexcept;
};

/// A non-blocking UDP socket, not bound yet; none on failure, errno says why.
UniqueFd open_udp(net::Family family) noexcept;
/// 0, or the errno of bind().
int bind_udp(int fd, const net::Endpoint& local) noexcept;
/// The address that the kernel would send from to reach `toward`, asked of a connected UDP socket
/// (nothing is sent). None when there is no route.
net::Address source_address_toward(const net::Address& toward) noexcept;

/// Sends one datagram; what the kernel does not take now is lost, as on any network.
void send_datagram(int fd, const net::Endpoint& to, std::span<const std::byte> data) noexcept;
/// Throws away what is queued in a socket. The number of packets that were there, at most `most`.
std::size_t drain_socket(int fd, std::size_t most) noexcept;

/// The datagrams that one system call read from one socket. The buffers are made once.
class ReceiveBatch
{
public:
    static constexpr std::size_t most = 16;

    ReceiveBatch();
    /// How many datagrams were read; 0 when there are none. Errors that the network left in the
    /// socket (ICMP) are taken out of it and passed over.
    std::size_t receive(int fd) noexcept;
    std::span<const std::byte> data(std::size_t i) const noexcept;
    net::Endpoint source(std::size_t i) const noexcept;

private:
    static constexpr std::size_t longest = 65536; ///< of a datagram; untouched pages cost nothing

    std::unique_ptr<std::byte[]> buffers_;
    std::array<sockaddr_storage, most> sources_;
    std::array<iovec, most> vectors_;
    std::array<mmsghdr, most> messages_;
};

} // namespace mediaproxy::relay
