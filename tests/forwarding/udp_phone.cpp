// SPDX-License-Identifier: GPL-2.0-or-later
#include "udp_phone.hpp"

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace forwarding_test
{
namespace
{

[[noreturn]] void fail(const char* what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

struct Address {
    sockaddr_in6 storage{};
    socklen_t size = sizeof storage;

    sockaddr* any() { return reinterpret_cast<sockaddr*>(&storage); }
    sockaddr_in& v4() { return reinterpret_cast<sockaddr_in&>(storage); }
};

Address to_address(const mp_endpoint& endpoint)
{
    Address result;
    if (endpoint.family == 4) {
        result.v4().sin_family = AF_INET;
        result.v4().sin_port = htons(endpoint.port);
        std::memcpy(&result.v4().sin_addr, endpoint.address, 4);
        result.size = sizeof(sockaddr_in);
    } else {
        result.storage.sin6_family = AF_INET6;
        result.storage.sin6_port = htons(endpoint.port);
        std::memcpy(&result.storage.sin6_addr, endpoint.address, 16);
    }
    return result;
}

mp_endpoint to_endpoint(Address& address)
{
    mp_endpoint result{};
    const bool v4 = address.any()->sa_family == AF_INET;
    result.family = v4 ? 4 : 6;
    result.port = ntohs(v4 ? address.v4().sin_port : address.storage.sin6_port);
    if (v4)
        std::memcpy(result.address, &address.v4().sin_addr, 4);
    else
        std::memcpy(result.address, &address.storage.sin6_addr, 16);
    return result;
}

mp_endpoint loopback(Family family)
{
    mp_endpoint result{};
    result.family = family == Family::ipv4 ? 4 : 6;
    if (family == Family::ipv4) {
        result.address[0] = 127;
        result.address[3] = 1;
    } else {
        result.address[15] = 1;
    }
    return result;
}

} // namespace

UdpPhone::UdpPhone(Family family) : UdpPhone(loopback(family))
{
}

UdpPhone::UdpPhone(const mp_endpoint& local)
    : fd_(socket(local.family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0))
{
    if (fd_ < 0)
        fail("socket");
    Address address = to_address(local);
    if (bind(fd_, address.any(), address.size) != 0)
        fail("bind");
    if (getsockname(fd_, address.any(), &address.size) != 0)
        fail("getsockname");
    endpoint_ = to_endpoint(address);
    const int size = 4 << 20;
    setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
}

UdpPhone::UdpPhone(UdpPhone&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), endpoint_(other.endpoint_)
{
}

UdpPhone::~UdpPhone()
{
    if (fd_ >= 0)
        close(fd_);
}

void UdpPhone::send(const mp_endpoint& to, const std::string& data) const
{
    Address address = to_address(to);
    // EPERM: the packet filter of this host has dropped it. It is lost, as it would be farther on.
    if (sendto(fd_, data.data(), data.size(), 0, address.any(), address.size) < 0 && errno != EPERM)
        fail("sendto");
}

void UdpPhone::send_joined(const mp_endpoint& to, const std::string& data, unsigned segment) const
{
    const int size = static_cast<int>(segment);
    setsockopt(fd_, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
    send(to, data);
    const int none = 0;
    setsockopt(fd_, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof none);
}

std::optional<std::string> UdpPhone::receive(int patience_ms) const
{
    mp_endpoint from{};
    return receive(from, patience_ms);
}

std::optional<std::string> UdpPhone::receive(mp_endpoint& from, int patience_ms) const
{
    pollfd entry{fd_, POLLIN, 0};
    if (poll(&entry, 1, patience_ms) <= 0)
        return std::nullopt;
    char buffer[65536]; // not of the heap, where TSan takes longer for it than a phone for a packet
    Address address;
    const ssize_t size =
        recvfrom(fd_, buffer, sizeof buffer, MSG_DONTWAIT, address.any(), &address.size);
    if (size < 0)
        return std::nullopt;
    from = to_endpoint(address);
    return std::string(buffer, static_cast<std::size_t>(size));
}

bool same(const mp_endpoint& a, const mp_endpoint& b)
{
    return a.family == b.family && a.port == b.port &&
           std::memcmp(a.address, b.address, sizeof a.address) == 0;
}

mp_flow Call::flow(mp_flow_id id) const
{
    mp_flow result{};
    result.struct_size = sizeof result;
    result.id = id;
    result.caller_remote = caller.endpoint();
    result.caller_local = relay_caller.endpoint();
    result.callee_local = relay_callee.endpoint();
    result.callee_remote = callee.endpoint();
    result.caller_fd = relay_caller.fd();
    result.callee_fd = relay_callee.fd();
    result.dscp = 255;
    return result;
}

} // namespace forwarding_test
