// SPDX-License-Identifier: GPL-2.0-or-later
#include "plugin/report_queue.hpp"

#include <algorithm>
#include <asio/post.hpp>
#include <utility>

namespace mediaproxy::plugin
{

ReportQueue::ReportQueue(asio::io_context& io, ForwardingEvents& events) : io_(io), events_(&events)
{
}

void ReportQueue::lost(mp_flow_id id, std::uint32_t reason)
{
    const std::lock_guard lock(mutex_);
    if (!waiting_.lost_ids.insert(id).second)
        return;
    waiting_.lost.push_back({id, reason});
    post_once();
}

void ReportQueue::stray(mp_flow_id id, std::uint32_t side, const mp_endpoint& from,
                        std::span<const std::byte> packet)
{
    const std::lock_guard lock(mutex_);
    if (waiting_.strays.size() >= most_strays ||
        waiting_.packets.size() + packet.size() > most_stray_bytes) {
        ++strays_dropped_;
        return;
    }
    waiting_.strays.push_back({id, from, side, waiting_.packets.size(), packet.size()});
    waiting_.packets.insert(waiting_.packets.end(), packet.begin(), packet.end());
    post_once();
}

void ReportQueue::readings(std::uint64_t request, std::span<const mp_flow_reading> readings,
                           ForwardingEvents::Piece piece)
{
    const std::lock_guard lock(mutex_);
    waiting_.pieces.push_back({request, waiting_.readings.size(), readings.size(), piece});
    waiting_.readings.insert(waiting_.readings.end(), readings.begin(), readings.end());
    post_once();
}

std::uint64_t ReportQueue::strays_dropped() const
{
    const std::lock_guard lock(mutex_);
    return strays_dropped_;
}

void ReportQueue::post_once()
{
    if (!std::exchange(posted_, true))
        asio::post(io_, [self = shared_from_this()] { self->deliver(); });
}

void ReportQueue::deliver()
{
    const bool fresh = has_delivered();
    if (fresh) {
        clear_delivered();
        const std::lock_guard lock(mutex_);
        std::swap(waiting_, delivering_);
    }
    deliver_lost();
    if (fresh)
        deliver_strays();
    deliver_readings();
    const std::lock_guard lock(mutex_);
    posted_ = false;
    if (!has_delivered() || waiting_.has_any())
        post_once();
}

void ReportQueue::clear_delivered()
{
    delivering_.lost.clear();
    delivering_.lost_ids.clear();
    delivering_.strays.clear();
    delivering_.packets.clear();
    delivering_.pieces.clear();
    delivering_.readings.clear();
    next_lost_ = next_piece_ = 0;
}

/// A handler may detach: it is asked again before each report.
void ReportQueue::deliver_lost()
{
    const std::size_t end = std::min(delivering_.lost.size(), next_lost_ + lost_a_turn);
    while (next_lost_ < end) {
        const Lost& lost = delivering_.lost[next_lost_++];
        if (events_ != nullptr)
            events_->on_lost(lost.id, lost.reason);
    }
}

void ReportQueue::deliver_strays()
{
    for (const Stray& stray : delivering_.strays) {
        if (events_ != nullptr)
            events_->on_stray(stray.id, stray.side, stray.from,
                              std::span(delivering_.packets).subspan(stray.offset, stray.size));
    }
}

/// As many as one turn of the loop takes.
void ReportQueue::deliver_readings()
{
    for (std::size_t room = readings_a_turn; next_piece_ < delivering_.pieces.size() && room > 0;) {
        Readings& piece = delivering_.pieces[next_piece_];
        const std::size_t taken = std::min(piece.size, room);
        const bool whole = taken == piece.size;
        const auto readings = std::span(delivering_.readings).subspan(piece.offset, taken);
        if (events_ != nullptr)
            events_->on_readings(piece.request, readings,
                                 whole ? piece.piece : ForwardingEvents::Piece::more);
        room -= taken;
        piece.offset += taken;
        piece.size -= taken;
        if (whole)
            ++next_piece_;
    }
}

} // namespace mediaproxy::plugin
