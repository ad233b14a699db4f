// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/media_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace mediaproxy::relay
{

SocketAddress::SocketAddress(const net::Endpoint& endpoint) noexcept
{
    if (endpoint.address.is_v6()) {
        sockaddr_in6 address{};
        address.sin6_family = AF_INET6;
        address.sin6_port = htons(endpoint.port);
        std::memcpy(&address.sin6_addr, endpoint.address.bytes().data(), 16);
        std::memcpy(&storage, &address, sizeof address);
        size = sizeof address;
        return;
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    std::memcpy(&address.sin_addr, endpoint.address.bytes().data(), 4);
    std::memcpy(&storage, &address, sizeof address);
    size = sizeof address;
}

net::Endpoint SocketAddress::endpoint() const noexcept
{
    if (storage.ss_family == AF_INET6) {
        sockaddr_in6 address;
        std::memcpy(&address, &storage, sizeof address);
        std::array<std::uint8_t, 16> bytes{};
        std::memcpy(bytes.data(), &address.sin6_addr, 16);
        return {net::Address::v6(bytes), ntohs(address.sin6_port)};
    }
    if (storage.ss_family != AF_INET)
        return {};
    sockaddr_in address;
    std::memcpy(&address, &storage, sizeof address);
    std::array<std::uint8_t, 4> bytes{};
    std::memcpy(bytes.data(), &address.sin_addr, 4);
    return {net::Address::v4(bytes), ntohs(address.sin_port)};
}

UniqueFd open_udp(net::Family family) noexcept
{
    const int domain = family == net::Family::v6 ? AF_INET6 : AF_INET;
    UniqueFd fd(::socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const int on = 1;
    if (fd && domain == AF_INET6)
        ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    return fd;
}

int bind_udp(int fd, const net::Endpoint& local) noexcept
{
    const SocketAddress address(local);
    return ::bind(fd, address.get(), address.size) == 0 ? 0 : errno;
}

net::Address source_address_toward(const net::Address& toward) noexcept
{
    const UniqueFd fd = open_udp(toward.family());
    const SocketAddress peer(net::Endpoint{toward, 9});
    if (!fd || ::connect(fd.get(), peer.get(), peer.size) != 0)
        return {};
    SocketAddress local;
    local.size = sizeof local.storage;
    if (::getsockname(fd.get(), local.get(), &local.size) != 0)
        return {};
    const net::Address address = local.endpoint().address;
    return address.is_unspecified() ? net::Address{} : address;
}

void send_datagram(int fd, const net::Endpoint& to, std::span<const std::byte> data) noexcept
{
    const SocketAddress address(to);
    // A socket may hold the error of an earlier packet (ICMP): then the first try only clears it.
    for (int attempt = 0; attempt < 2; ++attempt) {
        if (::sendto(fd, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL, address.get(),
                     address.size) >= 0)
            return;
        if (errno != ECONNREFUSED && errno != EHOSTUNREACH && errno != ENETUNREACH)
            return;
    }
}

std::size_t drain_socket(int fd, std::size_t most) noexcept
{
    std::size_t packets = 0;
    char byte;
    // An error that an earlier packet left (ICMP) is told once and hides nothing.
    for (int errors = 0; packets < most && errors < 4;) {
        if (::recv(fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) >= 0)
            ++packets;
        else if (errno == EAGAIN)
            break;
        else
            ++errors;
    }
    return packets;
}

ReceiveBatch::ReceiveBatch()
    : buffers_(std::make_unique_for_overwrite<std::byte[]>(most * longest)), sources_{}, vectors_{},
      messages_{}
{
    for (std::size_t i = 0; i < most; ++i) {
        vectors_[i] = {buffers_.get() + i * longest, longest};
        messages_[i].msg_hdr.msg_name = &sources_[i];
        messages_[i].msg_hdr.msg_iov = &vectors_[i];
        messages_[i].msg_hdr.msg_iovlen = 1;
    }
}

std::size_t ReceiveBatch::receive(int fd) noexcept
{
    // Each error that a socket holds is told once; a few may come one after the other.
    for (int attempt = 0; attempt < 4; ++attempt) {
        for (mmsghdr& message : messages_)
            message.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
        const int count = ::recvmmsg(fd, messages_.data(), most, MSG_DONTWAIT, nullptr);
        if (count >= 0)
            return static_cast<std::size_t>(count);
        if (errno == EAGAIN || errno == EBADF)
            return 0;
    }
    return 0;
}

std::span<const std::byte> ReceiveBatch::data(std::size_t i) const noexcept
{
    return {buffers_.get() + i * longest, messages_[i].msg_len};
}

net::Endpoint ReceiveBatch::source(std::size_t i) const noexcept
{
    SocketAddress address;
    address.storage = sources_[i];
    return address.endpoint();
}

} // namespace mediaproxy::relay
