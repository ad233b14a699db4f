// SPDX-License-Identifier: GPL-2.0-or-later
#include "stream.hpp"

#include <algorithm>

namespace media_load
{
namespace
{

constexpr std::uint32_t most_at_once = 8;

} // namespace

Stream::Stream(const StreamPlan& plan, const Netns& caller, const Netns& callee)
    : id_(plan.id), kind_(plan.kind), caller_(caller, plan.local[0], plan.relay[0]),
      callee_(callee, plan.local[1], plan.relay[1])
{
}

void Stream::speak(Side side, std::uint32_t count, std::int64_t now_ns) noexcept
{
    Tally& tally = tallies_[index(side)];
    std::array<std::array<std::byte, packet_size>, most_at_once> packets;
    std::array<std::span<const std::byte>, most_at_once> datagrams;
    while (count > 0) {
        const std::uint32_t turn = std::min(count, most_at_once);
        for (std::uint32_t i = 0; i < turn; ++i) {
            write({ssrc(side), tally.sent() + i, now_ns}, kind_, packets[i]);
            datagrams[i] = packets[i];
        }
        const std::size_t sent = phone(side).send({datagrams.data(), turn});
        for (std::size_t i = 0; i < sent; ++i)
            tally.note_sent();
        if (sent < turn)
            return; // the kernel has no room, or no way there: these were never under way
        count -= turn;
    }
}

void Stream::hear(Side side, std::span<const std::byte> datagram, const Address& source,
                  std::int64_t now_ns, Latency& latency)
{
    Tally& tally = tallies_[index(other(side))];
    if (!(source == phone(side).relay()))
        tally.note_wrong_source(source.text());
    const auto packet = read(datagram, kind_);
    if (!packet) {
        tally.note_corrupted();
        return;
    }
    if (packet->ssrc != ssrc(other(side)) || packet->sequence >= tally.sent()) {
        tally.note_foreign();
        return;
    }
    tally.note_received(packet->sequence);
    latency.add(now_ns - packet->sent_ns);
}

} // namespace media_load
