// SPDX-License-Identifier: GPL-2.0-or-later
// The twins of legs: when they come, and how they go.
#include <cerrno>

#include "uring_engine.hpp"

namespace forwarding_userspace
{

/// One for the way in, one for the way out. Tried again at ever longer intervals where they cannot
/// be had.
void UringEngine::judge_twins(Leg& leg)
{
    const std::uint64_t packets = leg.received.packets;
    if (packets < least_for_twin || (packets & (packets - 1)) != 0)
        return;
    for (Leg* each : {&leg, leg.other}) {
        if (each->twin.state == Twin::State::none && each->path == Path::packets && !each->leaving)
            twins_wanted_.push_back(each);
    }
}

/// They are read only in the next turn, when what had come to the legs' own sockets is under way.
void UringEngine::open_twins()
{
    for (Leg* leg : twins_wanted_) {
        if (leg->twin.state != Twin::State::none || leg->path != Path::packets ||
            !twins_.open(*leg))
            continue;
        leg->twin.state = Twin::State::opened;
        twins_opened_.push_back(leg);
    }
    twins_wanted_.clear();
}

void UringEngine::arm_twin(Leg& leg)
{
    io_uring_sqe* entry = next_entry();
    io_uring_prep_recvmsg_multishot(entry, leg.twin.file, &receive_header_, 0);
    entry->flags |= IOSQE_BUFFER_SELECT | IOSQE_FIXED_FILE;
    entry->buf_group = UringBuffers::group;
    entry->user_data = tag(Topic::twin, &leg);
}

void UringEngine::twin_received(Leg& leg, const Completion& completion)
{
    take_out(leg, completion);
    leg.twin.emptied = leg.twin.emptied && !completion.has_buffer();
    if (completion.more())
        return;
    if (leg.twin.state == Twin::State::receiving) { // an ICMP error, or no buffer was left
        leg.twin.state = Twin::State::opened;
        twins_opened_.push_back(&leg);
    } else if (leg.twin.state == Twin::State::lingering) {
        arm_twin(leg);
    } else if (completion.res == -ECANCELED && leg.twin.emptied) {
        twin_emptied(leg);
    } else {
        look_again(leg);
    }
}

/// Connected to itself a socket hears nobody.
void UringEngine::retire_twin(Leg& leg)
{
    const auto before = leg.twin.state;
    if (before == Twin::State::lingering) {
        leg.twin.state = Twin::State::ending;
        std::erase(lingering_, &leg);
        return cancel_twin(leg);
    }
    if (before != Twin::State::opened && before != Twin::State::receiving)
        return;
    leg.twin.state = Twin::State::ending;
    leg.twin.emptied = false;
    io_uring_sqe* entry = next_entry();
    io_uring_prep_connect(entry, leg.twin.file, &leg.twin.own.any, leg.twin.own.size);
    entry->flags |= IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    entry->user_data = tag(Topic::nothing);
    if (before == Twin::State::receiving)
        return cancel_twin(leg);
    std::erase(twins_opened_, &leg);
    look_again(leg);
}

/// A receive reads what is there, or some of it, as soon as it begins; then it is cancelled.
void UringEngine::look_again(Leg& leg)
{
    leg.twin.emptied = true;
    arm_twin(leg);
    cancel_twin(leg);
}

void UringEngine::twin_emptied(Leg& leg)
{
    if (leg.leaving) {
        close_twin(leg);
        --leaving_;
        return;
    }
    if (leg.twin.linger != 0)
        return close_twin(leg);
    leg.twin.state = Twin::State::lingering;
    leg.twin.linger = now_ + twin_linger;
    lingering_.push_back(&leg);
    arm_twin(leg);
    go_over_to_bursts(leg);
}

void UringEngine::close_twin(Leg& leg)
{
    twins_.close(leg);
    leg.twin = Twin{};
}

void UringEngine::end_lingering()
{
    while (!lingering_.empty() && lingering_.front()->twin.linger <= now_)
        retire_twin(*lingering_.front());
}

} // namespace forwarding_userspace
