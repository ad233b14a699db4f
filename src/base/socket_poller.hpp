// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <memory>
#include <sys/epoll.h>

#include "base/result.hpp"

namespace mediaproxy
{

/// Says which of many sockets are ready, a whole turn of the loop at once: a level-triggered epoll
/// instance of its own whose descriptor the loop watches. A socket costs no object of the loop, and
/// no attempt to read from it that finds nothing. [core thread]
class SocketPoller
{
public:
    using Key = std::uint64_t; ///< the owner's; comes back with on_ready()
    class Reader
    {
    public:
        virtual ~Reader() = default;
        /// `events` as epoll_wait(2) has them. The socket of `key` may be closed by now.
        virtual void on_ready(Key key, std::uint32_t events) = 0;
        virtual void on_turn_end() = 0; ///< after each round
    };
    static constexpr int most_a_turn = 128; ///< sockets; then the loop's other work is next

    explicit SocketPoller(asio::io_context& io);
    ~SocketPoller();
    SocketPoller(const SocketPoller&) = delete;
    SocketPoller& operator=(const SocketPoller&) = delete;

    /// Once, before all else. `io` when there is no descriptor left.
    Result<void> start(Reader& reader);
    /// To close the only descriptor of a socket ends its watch, too. `exhausted` when the kernel
    /// does not let us watch it.
    Result<void> add(int fd, Key key, std::uint32_t events = EPOLLIN);
    void change(int fd, Key key, std::uint32_t events) noexcept;
    void remove(int fd) noexcept;
    /// No watched socket is ready. One system call, however many there are.
    bool is_quiet() noexcept;

private:
    void wait();
    void turn();

    asio::posix::stream_descriptor descriptor_;
    Reader* reader_ = nullptr;
    std::array<epoll_event, most_a_turn> events_{};
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< asked by a handler in flight
};

} // namespace mediaproxy
