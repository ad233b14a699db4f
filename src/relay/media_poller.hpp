// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

#include "base/socket_poller.hpp"
#include "session/types.hpp"

namespace mediaproxy::relay
{

/// Which socket of the port pool.
struct SocketId {
    std::uint32_t slot = 0;
    session::ComponentKind component = session::ComponentKind::rtp;
};

/// Says which media sockets have packets. [core thread]
class MediaPoller final : private SocketPoller::Reader
{
public:
    class Reader
    {
    public:
        virtual ~Reader() = default;
        virtual void on_readable(SocketId id) noexcept = 0; ///< a socket has something
        virtual void on_turn_end() = 0;                     ///< after each round
    };

    explicit MediaPoller(asio::io_context& io) : poller_(io) {}

    Result<void> start(Reader& reader);
    Result<void> add(int fd, SocketId id);
    void remove(int fd) noexcept { poller_.remove(fd); }
    /// No watched socket holds a packet or an error.
    bool is_quiet() noexcept { return poller_.is_quiet(); }

private:
    void on_ready(SocketPoller::Key key, std::uint32_t events) override;
    void on_turn_end() override { reader_->on_turn_end(); }

    SocketPoller poller_;
    Reader* reader_ = nullptr;
};

} // namespace mediaproxy::relay
