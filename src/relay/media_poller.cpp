// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/media_poller.hpp"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

#include "base/log.hpp"

namespace mediaproxy::relay
{

namespace
{

std::uint64_t pack(SocketId id) noexcept
{
    return std::uint64_t{id.slot} << 1U | static_cast<std::uint64_t>(id.component);
}

SocketId unpack(std::uint64_t data) noexcept
{
    return {static_cast<std::uint32_t>(data >> 1U), static_cast<session::ComponentKind>(data & 1U)};
}

} // namespace

MediaPoller::MediaPoller(asio::io_context& io) : descriptor_(io)
{
}

MediaPoller::~MediaPoller() = default;

Result<void> MediaPoller::start(Reader& reader)
{
    reader_ = &reader;
    const int fd = ::epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return Error{Error::Code::io, fmt::format("media: epoll_create1: {}", strerror(errno))};
    descriptor_.assign(fd);
    wait();
    return {};
}

Result<void> MediaPoller::add(int fd, SocketId id)
{
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = pack(id);
    if (::epoll_ctl(descriptor_.native_handle(), EPOLL_CTL_ADD, fd, &event) != 0)
        return Error{Error::Code::exhausted,
                     fmt::format("media: a socket cannot be watched: {}", strerror(errno))};
    return {};
}

void MediaPoller::remove(int fd) noexcept
{
    epoll_event event{};
    ::epoll_ctl(descriptor_.native_handle(), EPOLL_CTL_DEL, fd, &event);
}

void MediaPoller::wait()
{
    descriptor_.async_wait(asio::posix::stream_descriptor::wait_read,
                           [this](const asio::error_code& error) {
                               if (error)
                                   return;
                               turn();
                               wait();
                           });
}

void MediaPoller::turn()
{
    const int count = ::epoll_wait(descriptor_.native_handle(), events_.data(), most_a_turn, 0);
    for (int i = 0; i < count; ++i)
        reader_->on_readable(unpack(events_[static_cast<std::size_t>(i)].data.u64));
    reader_->on_turn_end();
}

} // namespace mediaproxy::relay
