// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <vector>

#include <liburing.h>

#include "burst_path.hpp"
#include "engine.hpp"
#include "twin_sockets.hpp"
#include "uring_buffers.hpp"

namespace forwarding_userspace
{

/// What a completion is about, in the low bits of its user data; the rest is the leg's address.
enum class Topic : std::uint64_t { wake, receive, poll, twin, nothing };
constexpr std::uint64_t topic_mask = 7;
static_assert(alignof(Leg) > topic_mask);

inline std::uint64_t tag(Topic topic, const Leg* leg = nullptr)
{
    return reinterpret_cast<std::uintptr_t>(leg) | static_cast<std::uint64_t>(topic);
}

/// A completion taken out of the ring.
struct Completion {
    std::uint64_t user_data;
    std::int32_t res;
    std::uint32_t flags;

    explicit Completion(const io_uring_cqe& entry)
        : user_data(entry.user_data), res(entry.res), flags(entry.flags)
    {
    }
    Topic topic() const { return static_cast<Topic>(user_data & topic_mask); }
    Leg* leg() const { return reinterpret_cast<Leg*>(user_data & ~topic_mask); }
    bool more() const { return (flags & IORING_CQE_F_MORE) != 0; }
    bool has_buffer() const { return (flags & IORING_CQE_F_BUFFER) != 0; }
    std::uint16_t buffer() const
    {
        return static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    }
};

/// io_uring: one multishot receive for each socket into shared buffers; sends are queued while
/// completions are read and submitted together. A fat leg is polled and served in bursts instead.
/// A leg that has carried some packets gets a twin, see TwinSockets; it is opened only then, so
/// that short calls and the moment in which many begin do not pay for it.
///
/// A leg that leaves, or goes over to bursts, first stops reading its own socket, then sends its
/// party's packets there by connecting the twin elsewhere, then reads the twin until it is empty:
/// so nothing is lost and nothing overtakes. Whoever puts a packet into the twin may have found it
/// before it was connected elsewhere and be held up since: in the middle of datagrams that travel
/// joined, or on a processor that the hypervisor has taken away. So a leg that stays keeps the twin
/// for a while.
///
/// Sends are MSG_DONTWAIT, so the kernel carries them out (or refuses them) while it takes the
/// submission: their buffers are free again as soon as the queue is empty, without a completion.
class UringEngine final : public Engine
{
public:
    explicit UringEngine(const Environment& environment)
        : environment_(environment), bursts_(environment.host, environment.gso)
    {
        receive_header_.msg_namelen = sizeof(sockaddr_in6);
    }
    ~UringEngine() override
    {
        if (open_)
            io_uring_queue_exit(&ring_);
    }

    /// 0 or a negative errno.
    int open();

    void attach(Flow& flow) override;
    void detach(std::span<Flow* const> flows) override;
    void wait(Wait how) override;
    void process() override;
    void flush() override { submit(); }

private:
    static constexpr unsigned queue_entries = 1024;
    static constexpr unsigned most_sends = 32; // a longer batch keeps the core thread waiting
    /// Each may hold a buffer, and without one no twin is found empty.
    static constexpr std::size_t most_deferred = UringBuffers::count / 2;
    static constexpr std::uint64_t least_for_twin = 16; // packets
    static constexpr std::int64_t twin_linger = 200;    // ms

    io_uring_sqe* next_entry();
    void watch_wake_up();
    void arm(Leg& leg);
    void cancel(const Leg& leg);
    void cancel_twin(const Leg& leg);
    void cancel(std::uint64_t user_data);
    void submit();
    void submitted();
    void rearm();

    void sort_out_deferred();
    void take_completions();
    void complete_or_defer(const Completion& completion);
    void complete_deferred();
    void complete(const Completion& completion);
    void received(Leg& leg, const Completion& completion);
    void guard_others(Leg& leg);
    bool forward(Leg& leg, const Completion& completion);
    void judge_rate(Leg& leg);
    void judge_twins(Leg& leg);
    void open_twins();
    void arm_twin(Leg& leg);
    void twin_received(Leg& leg, const Completion& completion);
    void retire_twin(Leg& leg);
    void look_again(Leg& leg);
    void twin_emptied(Leg& leg);
    void close_twin(Leg& leg);
    void end_lingering();
    /// The leg's operation is over; true when the leg is leaving or failed: no other may follow.
    bool operation_was_the_last(Leg& leg, int result);
    void take_out(Leg& leg, const Completion& completion);
    void go_over_to_bursts(Leg& leg);
    void receive_ended(Leg& leg, int result);
    void polled(Leg& leg, int result);
    void enter_bursts(Leg& leg);
    void packets_ended(Leg& leg);
    bool fail_if_hopeless(Leg& leg, int result);

    Environment environment_;
    BurstPath bursts_;
    io_uring ring_{};
    bool open_ = false;
    UringBuffers buffers_; // after ring_: unmapped while nothing uses it
    TwinSockets twins_;
    msghdr receive_header_{};
    std::vector<Leg*> unarmed_;        ///< to be armed in the next turn
    std::vector<Leg*> twins_wanted_;   ///< to be opened in the next turn ...
    std::vector<Leg*> twins_opened_;   ///< ... and armed in the one after it
    std::vector<Leg*> lingering_;      ///< whose twins linger, the longest in front
    std::vector<Completion> deferred_; ///< of other legs, met while some were detached
    unsigned leaving_ = 0;             ///< legs whose cancelled operation has not ended yet
    unsigned sends_ = 0;               ///< queued and not yet submitted
    std::uint64_t turn_ = 0;
    std::int64_t now_ = 0;
};

} // namespace forwarding_userspace
