// SPDX-License-Identifier: GPL-2.0-or-later
#include "uring_engine.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include <poll.h>

#include "socket_options.hpp"
#include "turn_limits.hpp"

namespace forwarding_userspace
{

int UringEngine::open()
{
    io_uring_params parameters{};
    parameters.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                       IORING_SETUP_DEFER_TASKRUN;
    parameters.cq_entries = 4 * UringBuffers::count; // more than can complete in one turn
    if (const int result = io_uring_queue_init_params(queue_entries, &ring_, &parameters);
        result != 0)
        return result;
    open_ = true;
    if (const int result = buffers_.register_with(ring_); result != 0)
        return result;
    twins_.register_with(ring_);
    watch_wake_up();
    return 0;
}

/// Never nothing: the kernel takes all queued entries at each submission.
io_uring_sqe* UringEngine::next_entry()
{
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    while (entry == nullptr) {
        submit();
        entry = io_uring_get_sqe(&ring_);
    }
    return entry;
}

void UringEngine::watch_wake_up()
{
    io_uring_sqe* entry = next_entry();
    io_uring_prep_poll_multishot(entry, environment_.wake_fd, POLLIN);
    entry->user_data = tag(Topic::wake);
}

void UringEngine::arm(Leg& leg)
{
    io_uring_sqe* entry = next_entry();
    if (leg.path == Path::bursts) {
        io_uring_prep_poll_add(entry, leg.fd, POLLIN);
        entry->user_data = tag(Topic::poll, &leg);
        leg.operation = Operation::poll;
        return;
    }
    io_uring_prep_recvmsg_multishot(entry, leg.fd, &receive_header_, 0);
    entry->flags |= IOSQE_BUFFER_SELECT;
    entry->buf_group = UringBuffers::group;
    entry->user_data = tag(Topic::receive, &leg);
    leg.operation = Operation::receive;
}

/// What the kernel is doing with the leg's own socket.
void UringEngine::cancel(const Leg& leg)
{
    cancel(tag(leg.operation == Operation::poll ? Topic::poll : Topic::receive, &leg));
}

void UringEngine::cancel_twin(const Leg& leg)
{
    cancel(tag(Topic::twin, &leg));
}

void UringEngine::cancel(std::uint64_t user_data)
{
    io_uring_sqe* entry = next_entry();
    io_uring_prep_cancel64(entry, user_data, 0);
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = tag(Topic::nothing);
}

void UringEngine::attach(Flow& flow)
{
    for (Leg& leg : flow.legs)
        arm(leg);
}

void UringEngine::detach(std::span<Flow* const> flows)
{
    const auto each_leg = [flows](auto&& act) {
        for (Flow* flow : flows)
            for (Leg& leg : flow->legs)
                act(leg);
    };
    const auto cancel_if_running = [this](Leg& leg) {
        if (leg.operation != Operation::none)
            cancel(leg);
        else if (leg.twin.state == Twin::State::ending)
            cancel_twin(leg);
    };
    for (auto* list : {&unarmed_, &twins_wanted_, &twins_opened_})
        std::erase_if(*list, [flows](const Leg* leg) {
            return std::find(flows.begin(), flows.end(), leg->flow) != flows.end();
        });
    each_leg([this](Leg& leg) {
        leg.leaving = true;
        if (leg.operation == Operation::none)
            retire_twin(leg);
        if (leg.operation != Operation::none || leg.twin.state != Twin::State::none)
            ++leaving_;
    });
    sort_out_deferred();
    constexpr unsigned rounds_until_again = 64;
    io_uring_cqe* first = nullptr;
    for (unsigned round = 0; leaving_ > 0; ++round) {
        if (deferred_.size() > most_deferred)
            complete_deferred();
        // Cancelling again is harmless, and needed when an operation was just then running.
        if (first == nullptr || round % rounds_until_again == 0)
            each_leg(cancel_if_running);
        __kernel_timespec patience{0, 1'000'000};
        first = nullptr;
        io_uring_submit_and_wait_timeout(&ring_, &first, 1, &patience, nullptr);
        submitted();
        take_completions();
    }
    submit();
    each_leg([this](Leg& leg) {
        bursts_.leave(leg, now_);
        leg.leaving = false;
    });
}

/// The core thread waits for the leaving legs: only their packets are forwarded now, as long as
/// the others' leave them buffers.
void UringEngine::take_completions()
{
    unsigned head = 0;
    unsigned seen = 0;
    io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(&ring_, head, entry)
    {
        ++seen;
        complete_or_defer(Completion(*entry));
    }
    io_uring_cq_advance(&ring_, seen);
}

/// What an earlier detach() deferred may be of legs that leave now.
void UringEngine::sort_out_deferred()
{
    std::vector<Completion> earlier;
    earlier.swap(deferred_);
    for (const Completion& completion : earlier)
        complete_or_defer(completion);
}

void UringEngine::complete_or_defer(const Completion& completion)
{
    const Leg* leg = completion.leg();
    if (leg != nullptr && !leg->leaving)
        deferred_.push_back(completion);
    else
        complete(completion);
}

void UringEngine::wait(Wait how)
{
    rearm();
    open_twins();
    end_lingering();
    if (how == Wait::for_work && deferred_.empty() && twins_opened_.empty())
        io_uring_submit_and_wait(&ring_, 1);
    else
        io_uring_submit_and_get_events(&ring_);
    submitted();
    ++turn_;
    now_ = boot_time_ms();
}

void UringEngine::complete_deferred()
{
    for (const Completion& completion : deferred_) {
        complete(completion);
        if (sends_ >= most_sends)
            submit();
    }
    deferred_.clear();
}

void UringEngine::process()
{
    complete_deferred();
    unsigned head = 0;
    unsigned seen = 0;
    io_uring_cqe* entry = nullptr;
    io_uring_for_each_cqe(&ring_, head, entry)
    {
        ++seen;
        complete(Completion(*entry));
        if (sends_ >= most_sends)
            submit();
        if (seen >= least_progress && environment_.attention.load(std::memory_order_relaxed))
            break;
    }
    io_uring_cq_advance(&ring_, seen);
}

void UringEngine::submit()
{
    io_uring_submit(&ring_);
    submitted();
}

/// After a submission; where the kernel took only a part the rest keeps its buffers.
void UringEngine::submitted()
{
    if (io_uring_sq_ready(&ring_) > 0)
        return;
    sends_ = 0;
    buffers_.put_back_lent();
    buffers_.publish();
}

void UringEngine::rearm()
{
    for (Leg* leg : unarmed_)
        arm(*leg);
    unarmed_.clear();
    for (Leg* leg : twins_opened_) {
        arm_twin(*leg);
        leg->twin.state = Twin::State::receiving;
    }
    twins_opened_.clear();
}

void UringEngine::complete(const Completion& completion)
{
    switch (completion.topic()) {
    case Topic::wake:
        if (!completion.more())
            watch_wake_up();
        return;
    case Topic::receive:
        return received(*completion.leg(), completion);
    case Topic::poll:
        return polled(*completion.leg(), completion.res);
    case Topic::twin:
        return twin_received(*completion.leg(), completion);
    case Topic::nothing: // a send or a cancellation that failed
        return;
    }
}

void UringEngine::received(Leg& leg, const Completion& completion)
{
    take_out(leg, completion);
    if (!completion.more())
        receive_ended(leg, completion.res);
}

void UringEngine::take_out(Leg& leg, const Completion& completion)
{
    if (!completion.has_buffer())
        return;
    if (forward(leg, completion))
        buffers_.lend(completion.buffer());
    else
        buffers_.put_back(completion.buffer());
    guard_others(leg);
}

/// Older kernels let one multishot receive take every buffer there is. A flooded socket is served
/// in bursts, whose length is ours to say.
void UringEngine::guard_others(Leg& leg)
{
    if (leg.last_turn != turn_)
        leg.turn_packets = 0;
    leg.last_turn = turn_;
    if (++leg.turn_packets > most_packets)
        enter_bursts(leg);
}

/// True when a send was queued that still needs the buffer.
bool UringEngine::forward(Leg& leg, const Completion& completion)
{
    io_uring_recvmsg_out* packet = io_uring_recvmsg_validate(buffers_.at(completion.buffer()),
                                                             completion.res, &receive_header_);
    if (packet == nullptr)
        return false;
    if ((packet->flags & MSG_TRUNC) != 0) {
        // Its end is gone; the next ones will find larger buffers.
        leg.oversize = true;
        enter_bursts(leg);
        return false;
    }
    const auto& source = *static_cast<const sockaddr*>(io_uring_recvmsg_name(packet));
    void* payload = io_uring_recvmsg_payload(packet, &receive_header_);
    const unsigned size = io_uring_recvmsg_payload_length(packet, completion.res, &receive_header_);
    if (!same_endpoint(source, leg.remote)) {
        environment_.host.stray(leg, source, payload, size);
        return false;
    }
    leg.count(1, size, now_);
    judge_rate(leg);
    judge_twins(leg);
    constexpr int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    const Leg& out = *leg.other;
    io_uring_sqe* entry = next_entry();
    if (out.twin.state == Twin::State::receiving) {
        io_uring_prep_send(entry, out.twin.file, payload, size, flags);
        entry->flags |= IOSQE_FIXED_FILE;
    } else {
        io_uring_prep_send(entry, out.fd, payload, size, flags);
        io_uring_prep_send_set_addr(entry, &out.remote.any,
                                    static_cast<std::uint16_t>(out.remote.size));
    }
    entry->flags |= IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = tag(Topic::nothing);
    ++sends_;
    return true;
}

void UringEngine::judge_rate(Leg& leg)
{
    const auto verdict = leg.rate.count(1, turn_, now_);
    if (verdict == RateMeter::Verdict::fat && environment_.gso == Gso::automatic)
        enter_bursts(leg);
}

/// The receive is cancelled first: only when it has ended may datagrams come joined.
void UringEngine::enter_bursts(Leg& leg)
{
    if (leg.path == Path::bursts || leg.leaving)
        return;
    leg.path = Path::bursts;
    if (leg.operation == Operation::receive)
        return cancel(leg);
    std::erase(unarmed_, &leg); // it has ended in this turn
    packets_ended(leg);
}

/// Nobody reads the leg's own socket now.
void UringEngine::packets_ended(Leg& leg)
{
    if (leg.twin.state == Twin::State::opened || leg.twin.state == Twin::State::receiving)
        retire_twin(leg);
    else
        go_over_to_bursts(leg);
}

void UringEngine::go_over_to_bursts(Leg& leg)
{
    bursts_.enter(leg);
    unarmed_.push_back(&leg);
}

bool UringEngine::operation_was_the_last(Leg& leg, int result)
{
    leg.operation = Operation::none;
    if (!leg.leaving)
        return fail_if_hopeless(leg, result);
    retire_twin(leg);
    leaving_ -= leg.twin.state == Twin::State::none ? 1 : 0;
    return true;
}

void UringEngine::receive_ended(Leg& leg, int result)
{
    if (operation_was_the_last(leg, result))
        return;
    if (result < 0 && result != -ENOBUFS && result != -ECANCELED)
        clear_errors(leg.fd);
    if (leg.path == Path::packets)
        unarmed_.push_back(&leg);
    else
        packets_ended(leg);
}

void UringEngine::polled(Leg& leg, int result)
{
    if (operation_was_the_last(leg, result))
        return;
    if (result < 0 || (result & POLLERR) != 0)
        clear_errors(leg.fd);
    const auto visit = bursts_.serve(leg, turn_, now_);
    if (visit.verdict == RateMeter::Verdict::thin && !leg.oversize) {
        bursts_.leave(leg, now_);
        leg.rate.rest(now_);
    }
    unarmed_.push_back(&leg);
}

/// A descriptor that is no socket will not become one.
bool UringEngine::fail_if_hopeless(Leg& leg, int result)
{
    if (result != -EBADF && result != -ENOTSOCK && result != -EOPNOTSUPP && result != -EINVAL)
        return false;
    if (!leg.flow->failed)
        environment_.host.lost(*leg.flow);
    leg.flow->failed = true;
    return true;
}

std::unique_ptr<Engine> make_uring_engine(const Engine::Environment& environment, mp_error& error)
{
    auto engine = std::make_unique<UringEngine>(environment);
    const int result = engine->open();
    if (result == 0)
        return engine;
    std::snprintf(error.message, sizeof error.message,
                  "engine io_uring: %s (Linux 6.1 or newer is needed, and permission to use it)",
                  std::strerror(-result));
    return nullptr;
}

} // namespace forwarding_userspace
