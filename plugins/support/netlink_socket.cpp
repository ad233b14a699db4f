// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/netlink_socket.hpp"

#include <cerrno>
#include <cstring>
#include <ctime>
#include <string>

#include <libmnl/libmnl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/failure.hpp"

namespace mediaproxy::plugin_support
{
namespace
{

constexpr int buffer_of_the_kernel = 16 << 20;
constexpr std::size_t longest_datagram = 128 << 10; // a dump fills what it is offered, up to 32 KiB

/// SO_*BUFFORCE goes past the limit of the host and needs CAP_NET_ADMIN over it.
void enlarge(int fd, int force, int plain) noexcept
{
    if (setsockopt(fd, SOL_SOCKET, force, &buffer_of_the_kernel, sizeof buffer_of_the_kernel) != 0)
        setsockopt(fd, SOL_SOCKET, plain, &buffer_of_the_kernel, sizeof buffer_of_the_kernel);
}

} // namespace

std::unique_ptr<NetlinkSocket> NetlinkSocket::open(mp_error& error, int protocol)
{
    const int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
    if (fd < 0) {
        fail(&error, MP_E_UNSUPPORTED,
             std::string("a netlink socket cannot be opened: ") + std::strerror(errno));
        return nullptr;
    }
    std::unique_ptr<NetlinkSocket> made(new NetlinkSocket(fd));
    sockaddr_nl local{};
    local.nl_family = AF_NETLINK;
    if (bind(fd, reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0) {
        fail(&error, MP_E_FAILED,
             std::string("a netlink socket cannot be bound: ") + std::strerror(errno));
        return nullptr;
    }
    enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    return made;
}

NetlinkSocket::NetlinkSocket(int fd)
    : fd_(fd), sequence_(static_cast<std::uint32_t>(std::time(nullptr))),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(longest_datagram))
{
}

NetlinkSocket::~NetlinkSocket()
{
    close(fd_);
}

int NetlinkSocket::join(int group) noexcept
{
    return setsockopt(fd_, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) == 0 ? 0
                                                                                           : errno;
}

int NetlinkSocket::send(std::span<const std::byte> request) noexcept
{
    sockaddr_nl kernel{};
    kernel.nl_family = AF_NETLINK;
    for (;;) {
        if (sendto(fd_, request.data(), request.size(), 0,
                   reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel) >= 0)
            return 0;
        if (errno != EINTR)
            return errno;
    }
}

int NetlinkSocket::receive(const OnMessage& on_message, std::size_t most)
{
    int outcome = 0;
    for (std::size_t taken = 0; taken < most; ++taken) {
        const ssize_t size = recv(fd_, buffer_.get(), longest_datagram, MSG_DONTWAIT);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN)
            return outcome;
        if (size < 0 && errno == ENOBUFS) {
            outcome = ENOBUFS; // told once; what did arrive is still there
            continue;
        }
        if (size < 0)
            return errno;
        int left = static_cast<int>(size);
        for (auto* message = reinterpret_cast<const nlmsghdr*>(buffer_.get());
             mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left))
            on_message(*message);
    }
    return outcome != 0 ? outcome : EAGAIN;
}

int NetlinkSocket::exchange(std::span<const std::byte> request, const OnMessage& on_message)
{
    receive([](const nlmsghdr&) {});
    if (const int error = send(request); error != 0)
        return error;
    return receive(on_message);
}

int NetlinkSocket::dump(std::span<const std::byte> request, const OnMessage& on_message)
{
    int gap = 0;
    const auto note = [&](int found) {
        if (gap == 0 && found != ENOENT)
            gap = found;
    };
    note(exchange(request, [&](const nlmsghdr& message) {
        note(gap_of(message));
        on_message(message);
    }));
    return gap;
}

int error_of(const nlmsghdr& message) noexcept
{
    if (message.nlmsg_type != NLMSG_ERROR)
        return 0;
    const auto* error = static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(&message));
    return error->error < 0 ? -error->error : error->error;
}

int gap_of(const nlmsghdr& message) noexcept
{
    std::int32_t end = 0;
    if (message.nlmsg_type == NLMSG_DONE && mnl_nlmsg_get_payload_len(&message) >= sizeof end)
        std::memcpy(&end, mnl_nlmsg_get_payload(&message), sizeof end);
    if (end < 0)
        return -end;
    return (message.nlmsg_flags & NLM_F_DUMP_INTR) != 0 ? EINTR : error_of(message);
}

} // namespace mediaproxy::plugin_support
