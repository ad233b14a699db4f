// SPDX-License-Identifier: GPL-2.0-or-later
#include "phone.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>

#include <unistd.h>

namespace media_load
{
namespace
{

constexpr std::size_t most_at_once = 16;

int open_socket(Address local)
{
    const int fd = socket(local.storage.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, local.any(), local.size) == 0)
        return fd;
    const int problem = errno;
    if (fd >= 0)
        close(fd);
    throw std::system_error(problem, std::generic_category(), local.text());
}

} // namespace

Phone::Phone(const Netns& place, const Address& local, const Address& relay) : relay_(relay)
{
    const Netns::Visit visit(place);
    fds_[0] = open_socket(local);
    fds_[1] = open_socket(local.beside(2));
}

Phone::~Phone()
{
    for (const int fd : fds_)
        close(fd);
}

std::size_t Phone::send(std::span<const std::span<const std::byte>> datagrams) noexcept
{
    std::array<mmsghdr, most_at_once> headers{};
    std::array<iovec, most_at_once> parts{};
    const std::size_t count = std::min(datagrams.size(), most_at_once);
    for (std::size_t i = 0; i < count; ++i) {
        parts[i] = {const_cast<std::byte*>(datagrams[i].data()), datagrams[i].size()};
        msghdr& header = headers[i].msg_hdr;
        header.msg_name = relay_.any();
        header.msg_namelen = relay_.size;
        header.msg_iov = &parts[i];
        header.msg_iovlen = 1;
    }
    const int sent = sendmmsg(fds_[0], headers.data(), static_cast<unsigned>(count), 0);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
}

} // namespace media_load
