// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/netlink_socket.hpp"

#include <algorithm>
#include <array>
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
/// A dump fills what it is offered, up to 32 KiB.
constexpr std::size_t longest_datagram = 128 << 10;
/// In places whose pages exist once they are used.
constexpr std::size_t datagrams_at_once = 32;

/// SO_*BUFFORCE goes past the limit of the host and needs CAP_NET_ADMIN over it.
void enlarge(int fd, int force, int plain) noexcept
{
    if (setsockopt(fd, SOL_SOCKET, force, &buffer_of_the_kernel, sizeof buffer_of_the_kernel) != 0)
        setsockopt(fd, SOL_SOCKET, plain, &buffer_of_the_kernel, sizeof buffer_of_the_kernel);
}

void each_message(const void* datagram, std::size_t size, const NetlinkSocket::OnMessage& tell)
{
    int left = static_cast<int>(size);
    for (auto* message = static_cast<const nlmsghdr*>(datagram); mnl_nlmsg_ok(message, left);
         message = mnl_nlmsg_next(message, &left))
        tell(*message);
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
      buffer_(std::make_unique_for_overwrite<std::byte[]>(datagrams_at_once * longest_datagram))
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
    std::array<iovec, datagrams_at_once> places;
    std::array<mmsghdr, datagrams_at_once> datagrams{};
    for (std::size_t i = 0; i < places.size(); ++i) {
        places[i] = {buffer_.get() + i * longest_datagram, longest_datagram};
        datagrams[i].msg_hdr.msg_iov = &places[i];
        datagrams[i].msg_hdr.msg_iovlen = 1;
    }
    int outcome = 0;
    for (std::size_t taken = 0; taken < most;) {
        const auto wanted = std::min(most - taken, datagrams_at_once);
        const int count =
            recvmmsg(fd_, datagrams.data(), static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0 && errno == EAGAIN)
            return outcome;
        if (count < 0 && errno == ENOBUFS) {
            outcome = ENOBUFS; // told once; what did arrive is still there
            ++taken;
            continue;
        }
        if (count < 0)
            return errno;
        taken += static_cast<std::size_t>(count);
        for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i)
            each_message(places[i].iov_base, datagrams[i].msg_len, on_message);
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
