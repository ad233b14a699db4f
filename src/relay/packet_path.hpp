// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "relay/forwarder.hpp"
#include "relay/media_poller.hpp"
#include "relay/media_socket.hpp"
#include "relay/port_pool.hpp"
#include "session/session_table.hpp"

namespace mediaproxy::relay
{

/// The slow path: reads media sockets, asks the sessions what becomes of each packet, and sends it
/// on. Never allocates for a packet, never stops reading a socket. [core thread]
class PacketPath final : public MediaPoller::Reader, public StrayJudge
{
public:
    PacketPath(session::SessionTable& table, PortPool& ports, Forwarder& forwarder)
        : table_(table), ports_(ports), forwarder_(forwarder)
    {
    }

    void on_readable(SocketId id) noexcept override;
    void on_turn_end() override { forwarder_.install_wanted(); }
    void on_stray(SocketId id, const net::Endpoint& source,
                  std::span<const std::byte> data) override;

private:
    void judge(SocketId id, const session::SocketRole& role, const net::Endpoint& source,
               std::span<const std::byte> data, TimePoint now);
    void send_queued(const session::SocketRole& role);

    session::SessionTable& table_;
    PortPool& ports_;
    Forwarder& forwarder_;
    ReceiveBatch batch_;
};

} // namespace mediaproxy::relay
