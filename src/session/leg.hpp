// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <string>

#include "base/time.hpp"
#include "media/payload_type.hpp"
#include "protocol/session_report.hpp"
#include "session/latch.hpp"

namespace mediaproxy::session
{

/// One party's side of a component: where it sends from, and what and when it sent.
class Leg
{
public:
    explicit Leg(LearningPolicy policy) noexcept : latch_(policy) {}

    const Latch& latch() const noexcept { return latch_; }
    Latch::Verdict learn(const net::Endpoint& source, TimePoint now) noexcept
    {
        return latch_.on_packet(source, now);
    }
    /// Learns again; its media up to now says nothing about who sends next.
    void forget() noexcept
    {
        latch_.forget();
        media_since_learning_ = false;
    }
    void relearn(const net::Address& signalled, const net::Address& signaling,
                 TimePoint until) noexcept
    {
        latch_.relearn(signalled, signaling, until);
        media_since_learning_ = false;
    }
    void reopen(TimePoint until) noexcept
    {
        latch_.reopen(until);
        media_since_learning_ = false;
    }
    void shut() noexcept { latch_.shut(); }
    bool learned_with_media() const noexcept { return latch_.learned() && media_since_learning_; }

    void count(std::size_t bytes, TimePoint now) noexcept
    {
        ++traffic_.packets;
        traffic_.bytes += bytes;
        last_packet_ = std::max(last_packet_, now);
    }
    /// A fast path carried this; `seen` is its last packet, of which it cannot tell whether it was
    /// media.
    void add(const protocol::Traffic& traffic, TimePoint seen) noexcept
    {
        traffic_ += traffic;
        last_packet_ = std::max(last_packet_, seen);
        last_media_ = std::max(last_media_, seen);
    }
    /// A packet that is more than a STUN message.
    void note_media(TimePoint now) noexcept
    {
        last_media_ = std::max(last_media_, now);
        media_since_learning_ = true;
    }
    void note_payload_type(std::uint8_t type) noexcept
    {
        if (payload_type_ == no_payload_type)
            payload_type_ = type;
    }

    const protocol::Traffic& traffic() const noexcept { return traffic_; }
    TimePoint last_packet() const noexcept { return last_packet_; }
    bool has_sent_since(TimePoint since) const noexcept { return last_media_ >= since; }
    TimePoint last_media() const noexcept { return last_media_; }
    /// How often that which is no count has changed in a report. Never shrinks.
    std::uint64_t changes() const noexcept
    {
        return latch_.changes() + (payload_type_ == no_payload_type ? 0U : 1U);
    }
    /// Of the first RTP packet; `Unknown` before any.
    std::string codec() const
    {
        return payload_type_ == no_payload_type ? "Unknown" : media::payload_name(payload_type_);
    }

private:
    static constexpr std::uint8_t no_payload_type = 0xff;

    Latch latch_;
    protocol::Traffic traffic_;
    TimePoint last_packet_ = TimePoint::min();
    TimePoint last_media_ = TimePoint::min();
    std::uint8_t payload_type_ = no_payload_type;
    bool media_since_learning_ = false;
};

} // namespace mediaproxy::session
