// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/socket_poller.hpp"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

namespace mediaproxy
{

namespace
{

int control(int poller, int operation, int fd, SocketPoller::Key key, std::uint32_t events) noexcept
{
    epoll_event event{};
    event.events = events;
    event.data.u64 = key;
    return ::epoll_ctl(poller, operation, fd, &event);
}

} // namespace

SocketPoller::SocketPoller(asio::io_context& io) : descriptor_(io)
{
}

SocketPoller::~SocketPoller() = default;

Result<void> SocketPoller::start(Reader& reader)
{
    reader_ = &reader;
    const int fd = ::epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return Error{Error::Code::io, fmt::format("epoll_create1: {}", std::strerror(errno))};
    descriptor_.assign(fd);
    wait();
    return {};
}

Result<void> SocketPoller::add(int fd, Key key, std::uint32_t events)
{
    if (control(descriptor_.native_handle(), EPOLL_CTL_ADD, fd, key, events) != 0)
        return Error{Error::Code::exhausted,
                     fmt::format("a socket cannot be watched: {}", std::strerror(errno))};
    return {};
}

void SocketPoller::change(int fd, Key key, std::uint32_t events) noexcept
{
    control(descriptor_.native_handle(), EPOLL_CTL_MOD, fd, key, events);
}

void SocketPoller::remove(int fd) noexcept
{
    control(descriptor_.native_handle(), EPOLL_CTL_DEL, fd, 0, 0);
}

bool SocketPoller::is_quiet() noexcept
{
    epoll_event event{};
    return ::epoll_wait(descriptor_.native_handle(), &event, 1, 0) == 0;
}

void SocketPoller::wait()
{
    descriptor_.async_wait(
        asio::posix::stream_descriptor::wait_read,
        [this, alive = std::weak_ptr<bool>(alive_)](const asio::error_code& error) {
            if (error || alive.expired())
                return;
            // What escapes the reader ends its turn, not the reading.
            const std::unique_ptr<SocketPoller, void (*)(SocketPoller*)> again(
                this, [](SocketPoller* poller) { poller->wait(); });
            turn();
        });
}

void SocketPoller::turn()
{
    const int count = ::epoll_wait(descriptor_.native_handle(), events_.data(), most_a_turn, 0);
    for (int i = 0; i < count; ++i) {
        const epoll_event& event = events_[static_cast<std::size_t>(i)];
        reader_->on_ready(event.data.u64, event.events);
    }
    reader_->on_turn_end();
}

} // namespace mediaproxy
