// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <sys/epoll.h>

#include "base/result.hpp"
#include "session/types.hpp"

namespace mediaproxy::relay
{

/// Which socket of the port pool.
struct SocketId {
    std::uint32_t slot = 0;
    session::ComponentKind component = session::ComponentKind::rtp;
};

/// Says which media sockets have packets: a level-triggered epoll instance of its own whose
/// descriptor the loop watches, so that a media socket costs no object of the loop. [core thread]
class MediaPoller
{
public:
    class Reader
    {
    public:
        virtual ~Reader() = default;
        virtual void on_readable(SocketId id) noexcept = 0; ///< a socket has something
        virtual void on_turn_end() = 0;                     ///< after each round
    };
    static constexpr int most_a_turn = 128; ///< sockets; then the loop's other work is next

    explicit MediaPoller(asio::io_context& io);
    ~MediaPoller();
    MediaPoller(const MediaPoller&) = delete;
    MediaPoller& operator=(const MediaPoller&) = delete;

    Result<void> start(Reader& reader);
    Result<void> add(int fd, SocketId id);
    void remove(int fd) noexcept;

private:
    void wait();
    void turn();

    asio::posix::stream_descriptor descriptor_;
    Reader* reader_ = nullptr;
    std::array<epoll_event, most_a_turn> events_{};
};

} // namespace mediaproxy::relay
