// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/packet_path.hpp"

namespace mediaproxy::relay
{

void PacketPath::on_readable(SocketId id) noexcept
{
    // One batch a turn: the poller is level-triggered, so a flooded socket takes its turn with all
    // others and its rest is read in the next one.
    const std::size_t count = batch_.receive(ports_.fd(id));
    const session::SocketRole role = ports_.role(id);
    const TimePoint now = BootClock::now();
    if (role.stream == nullptr && count > 0)
        return ports_.on_unowned(id, now);
    for (std::size_t i = 0; i < count; ++i)
        judge(id, role, batch_.source(i), batch_.data(i), now);
}

void PacketPath::on_stray(SocketId id, const net::Endpoint& source, std::span<const std::byte> data)
{
    const session::SocketRole role = ports_.role(id);
    if (role.stream == nullptr)
        return ports_.on_unowned(id, BootClock::now());
    judge(id, role, source, data, BootClock::now());
}

void PacketPath::judge(SocketId id, const session::SocketRole& role, const net::Endpoint& source,
                       std::span<const std::byte> data, TimePoint now)
{
    const session::Verdict verdict = table_.on_packet(role, source, data, now);
    // What waited goes first, so that the receiver hears things in their order.
    if (verdict.release_queue)
        send_queued(role);
    if (verdict.action == session::Verdict::Action::forward)
        send_datagram(ports_.fd({verdict.out_slot, verdict.out_component}), verdict.to, data);
    if (verdict.install_ready)
        forwarder_.want(id);
}

void PacketPath::send_queued(const session::SocketRole& role)
{
    for (const session::QueuedPacket& packet : table_.take_queued(role))
        send_datagram(ports_.fd({packet.out_slot, packet.out_component}), packet.to, packet.data);
}

} // namespace mediaproxy::relay
