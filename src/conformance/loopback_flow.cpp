// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/loopback_flow.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace mediaproxy::conformance
{

namespace
{

constexpr std::uint32_t orphan_timeout_ms = 90000;
constexpr std::uint8_t dscp_untouched = 255;

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

} // namespace

Result<LoopbackSocket> LoopbackSocket::open()
{
    LoopbackSocket made;
    made.fd_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    if (!made.fd_ || ::bind(made.fd(), any, size) != 0 || ::getsockname(made.fd(), any, &size) != 0)
        return Error{Error::Code::io,
                     std::string("a UDP socket on 127.0.0.1: ") + std::strerror(errno)};
    made.endpoint_ = to_endpoint(address);
    return made;
}

void LoopbackSocket::send_to(const LoopbackSocket& to, std::string_view packet) const
{
    const sockaddr_in address = to_address(to.endpoint());
    ::sendto(fd(), packet.data(), packet.size(), 0, reinterpret_cast<const sockaddr*>(&address),
             sizeof address);
}

std::optional<std::string> LoopbackSocket::receive(Milliseconds patience, mp_endpoint* from) const
{
    struct pollfd readable = {fd(), POLLIN, 0};
    if (::poll(&readable, 1, static_cast<int>(patience.count())) <= 0)
        return std::nullopt;
    std::array<char, 2048> packet{};
    sockaddr_in address{};
    socklen_t length = sizeof address;
    const ssize_t size = ::recvfrom(fd(), packet.data(), packet.size(), 0,
                                    reinterpret_cast<sockaddr*>(&address), &length);
    if (size < 0)
        return std::nullopt;
    if (from != nullptr)
        *from = to_endpoint(address);
    return std::string(packet.data(), static_cast<std::size_t>(size));
}

bool LoopbackSocket::is_open() const noexcept
{
    int type = 0;
    socklen_t size = sizeof type;
    return ::getsockopt(fd(), SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_DGRAM;
}

Result<LoopbackFlow> LoopbackFlow::make(mp_flow_id id)
{
    LoopbackFlow flow{id, {}, {}, {}, {}};
    for (LoopbackSocket* socket :
         {&flow.caller, &flow.caller_local, &flow.callee_local, &flow.callee}) {
        auto opened = LoopbackSocket::open();
        if (!opened)
            return opened.error();
        *socket = *std::move(opened);
    }
    return flow;
}

mp_flow LoopbackFlow::abi() const noexcept
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
