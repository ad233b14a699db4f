// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/component.hpp"

#include <algorithm>
#include <exception>

namespace mediaproxy::session
{

namespace
{

// A party repeats its connectivity checks; the newest few are enough to answer.
constexpr std::size_t most_queued = 8;
constexpr std::size_t most_queued_bytes = 1500;

} // namespace

std::uint64_t Component::add(const Flows::Progress& progress, TimePoint now) noexcept
{
    std::uint64_t bytes = 0;
    for (const Party party : both_parties) {
        const Traffic& traffic = progress.traffic[party];
        if (traffic.packets == 0)
            continue;
        const std::int64_t seen_ms = progress.seen_ms[party];
        const TimePoint seen = seen_ms < 0 ? now : TimePoint(Milliseconds(seen_ms));
        leg(party).add(traffic, std::min(seen, now));
        bytes += traffic.bytes;
    }
    return bytes;
}

bool Component::queue(Party receiver, std::span<const std::byte> data) noexcept
{
    if (data.size() > most_queued_bytes)
        return false;
    try {
        if (!queue_)
            queue_ = std::make_unique<Queue>();
        if (queue_->size() >= most_queued)
            queue_->erase(queue_->begin());
        queue_->push_back(Waiting{receiver, {data.begin(), data.end()}});
        return true;
    } catch (const std::exception&) {
        return false; // without memory the packet is lost, as on a full network
    }
}

bool Component::has_queued(Party receiver) const noexcept
{
    return queue_ && std::any_of(queue_->begin(), queue_->end(), [&](const Waiting& waiting) {
               return waiting.receiver == receiver;
           });
}

std::vector<QueuedPacket> Component::take_queued(Party receiver)
{
    std::vector<QueuedPacket> taken;
    if (!queue_)
        return taken;
    for (Waiting& waiting : *queue_) {
        if (waiting.receiver == receiver)
            taken.push_back(QueuedPacket{0, ComponentKind::rtp, {}, std::move(waiting.data)});
    }
    std::erase_if(*queue_, [&](const Waiting& waiting) { return waiting.receiver == receiver; });
    if (queue_->empty())
        queue_.reset();
    return taken;
}

} // namespace mediaproxy::session
