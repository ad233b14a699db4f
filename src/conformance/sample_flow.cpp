// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/sample_flow.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <ifaddrs.h>
#include <memory>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <utility>

namespace mediaproxy::conformance
{

namespace
{

constexpr std::uint32_t orphan_timeout_ms = 90000;
constexpr std::uint8_t dscp_untouched = 255;
constexpr std::uint16_t first_port = 40000;

mp_endpoint to_endpoint(const sockaddr_in& address)
{
    mp_endpoint endpoint{};
    endpoint.family = 4;
    endpoint.port = ntohs(address.sin_port);
    std::memcpy(endpoint.address, &address.sin_addr, 4);
    return endpoint;
}

sockaddr_in to_address(const mp_endpoint& endpoint)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    std::memcpy(&address.sin_addr, endpoint.address, 4);
    return address;
}

/// The first that is up and not loopback, in network order.
std::optional<std::uint32_t> find_own_address()
{
    ifaddrs* all = nullptr;
    if (::getifaddrs(&all) != 0)
        return std::nullopt;
    const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> owner(all, ::freeifaddrs);
    for (const ifaddrs* one = all; one != nullptr; one = one->ifa_next) {
        if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET ||
            (one->ifa_flags & IFF_UP) == 0 || (one->ifa_flags & IFF_LOOPBACK) != 0)
            continue;
        sockaddr_in address{};
        std::memcpy(&address, one->ifa_addr, sizeof address);
        return address.sin_addr.s_addr;
    }
    return std::nullopt;
}

} // namespace

Result<UdpSocket> UdpSocket::open(std::uint32_t address)
{
    UdpSocket made;
    made.fd_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in own{};
    own.sin_family = AF_INET;
    own.sin_addr.s_addr = address;
    auto* const any = reinterpret_cast<sockaddr*>(&own);
    socklen_t size = sizeof own;
    if (!made.fd_ || ::bind(made.fd(), any, size) != 0 || ::getsockname(made.fd(), any, &size) != 0)
        return Error{Error::Code::io, std::string("a UDP socket: ") + std::strerror(errno)};
    made.endpoint_ = to_endpoint(own);
    return made;
}

UdpSocket UdpSocket::without_socket(std::uint32_t address, std::uint16_t port)
{
    sockaddr_in party{};
    party.sin_addr.s_addr = address;
    party.sin_port = htons(port);
    UdpSocket made;
    made.endpoint_ = to_endpoint(party);
    return made;
}

void UdpSocket::send_to(const UdpSocket& to, std::string_view packet) const
{
    const sockaddr_in address = to_address(to.endpoint());
    ::sendto(fd(), packet.data(), packet.size(), 0, reinterpret_cast<const sockaddr*>(&address),
             sizeof address);
}

std::optional<std::string> UdpSocket::receive(mp_endpoint* from) const
{
    std::array<char, 2048> packet{};
    sockaddr_in address{};
    socklen_t length = sizeof address;
    const ssize_t size = ::recvfrom(fd(), packet.data(), packet.size(), 0,
                                    reinterpret_cast<sockaddr*>(&address), &length);
    if (size < 0)
        return std::nullopt;
    *from = to_endpoint(address);
    return std::string(packet.data(), static_cast<std::size_t>(size));
}

bool UdpSocket::is_open() const noexcept
{
    int type = 0;
    socklen_t size = sizeof type;
    return ::getsockopt(fd(), SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

Result<SampleFlow> SampleFlow::make(mp_flow_id id, Place place)
{
    const std::uint32_t own =
        place == Place::loopback ? htonl(INADDR_LOOPBACK) : find_own_address().value_or(0);
    SampleFlow flow{id, {}, {}, {}, {}};
    for (UdpSocket* socket : {&flow.caller, &flow.caller_local, &flow.callee_local, &flow.callee}) {
        auto opened = UdpSocket::open(own);
        if (!opened)
            return opened.error();
        *socket = *std::move(opened);
    }
    if (place == Place::network) {
        const std::uint32_t neighbour = own ^ htonl(2);
        const auto port = static_cast<std::uint16_t>(first_port + 2 * id);
        flow.caller = UdpSocket::without_socket(neighbour, port);
        flow.callee = UdpSocket::without_socket(neighbour, port + 1);
    }
    return flow;
}

Place find_place()
{
    return find_own_address() ? Place::network : Place::loopback;
}

mp_flow SampleFlow::abi() const noexcept
{
    mp_flow flow{};
    flow.struct_size = sizeof flow;
    flow.id = id;
    flow.caller_remote = caller.endpoint();
    flow.caller_local = caller_local.endpoint();
    flow.callee_local = callee_local.endpoint();
    flow.callee_remote = callee.endpoint();
    flow.caller_fd = caller_local.fd();
    flow.callee_fd = callee_local.fd();
    flow.orphan_timeout_ms = orphan_timeout_ms;
    flow.dscp = dscp_untouched;
    return flow;
}

bool same(const mp_endpoint& a, const mp_endpoint& b) noexcept
{
    return a.family == b.family && a.port == b.port &&
           std::memcmp(a.address, b.address, a.family == 4 ? 4 : 16) == 0;
}

} // namespace mediaproxy::conformance
