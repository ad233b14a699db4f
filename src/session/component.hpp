// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "session/flows.hpp"
#include "session/leg.hpp"
#include "session/verdict.hpp"

namespace mediaproxy::session
{

/// RTP or RTCP of a stream: two legs, what waits for one of them, and the flow that a back end
/// carries.
class Component
{
public:
    explicit Component(LearningPolicy policy) noexcept : caller_(policy), callee_(policy) {}

    Leg& leg(Party party) noexcept { return party == Party::caller ? caller_ : callee_; }
    const Leg& leg(Party party) const noexcept
    {
        return party == Party::caller ? caller_ : callee_;
    }

    /// Both legs learned, and each has sent media since.
    bool ready_for_fast_path() const noexcept
    {
        return caller_.learned_with_media() && callee_.learned_with_media();
    }
    TimePoint last_packet() const noexcept
    {
        return std::max(caller_.last_packet(), callee_.last_packet());
    }

    /// 0 = every packet goes the slow path.
    FlowId flow() const noexcept { return flow_; }
    bool may_install(TimePoint now) const noexcept { return flow_ == 0 && now >= retry_at_; }
    void began(FlowId flow) noexcept { flow_ = flow; }
    /// Slow path again; asks for no new flow before `retry_at`.
    void ended(TimePoint retry_at) noexcept
    {
        flow_ = 0;
        retry_at_ = retry_at;
    }
    /// Adds what a flow has carried; a back end that cannot say when is taken to have seen the
    /// packets now. Returns the bytes.
    std::uint64_t add(const Flows::Progress& progress, TimePoint now) noexcept;

    /// Keeps a STUN packet for `receiver`; false when there is no room.
    bool queue(Party receiver, std::span<const std::byte> data) noexcept;
    bool has_queued(Party receiver) const noexcept;
    /// What waited for `receiver`, in order; only the data is filled.
    std::vector<QueuedPacket> take_queued(Party receiver);
    void drop_queue() noexcept { queue_.reset(); }

private:
    struct Waiting {
        Party receiver;
        std::vector<std::byte> data;
    };
    using Queue = std::vector<Waiting>;

    Leg caller_, callee_;
    FlowId flow_ = 0;
    TimePoint retry_at_{};
    std::unique_ptr<Queue> queue_; ///< rare: only while ICE probes a leg that has not sent yet
};

} // namespace mediaproxy::session
