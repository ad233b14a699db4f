// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include <sys/epoll.h>

#include "burst_path.hpp"
#include "engine.hpp"
#include "socket_options.hpp"
#include "support/unique_fd.hpp"
#include "turn_limits.hpp"

namespace forwarding_userspace
{

using mediaproxy::plugin_support::UniqueFd;

namespace
{

/// Level-triggered epoll, one system call to read a packet and one to send it.
class EpollEngine final : public Engine
{
public:
    EpollEngine(const Environment& environment, UniqueFd epoll)
        : environment_(environment), epoll_(std::move(epoll)),
          bursts_(environment.host, environment.gso)
    {
    }

    void attach(Flow& flow) override;
    void detach(std::span<Flow* const> flows) override;
    void wait(Wait how) override;
    void process() override;
    void flush() override {}

private:
    unsigned serve(Leg& leg);
    unsigned serve_burst(Leg& leg);
    unsigned serve_packets(Leg& leg);
    void learn_appetite(Leg& leg, unsigned got) const;
    bool serve_one(Leg& leg, std::span<std::byte> buffer);

    Environment environment_;
    UniqueFd epoll_;
    BurstPath bursts_;
    std::array<epoll_event, 256> events_{};
    unsigned ready_ = 0;
    std::uint64_t turn_ = 0;
    std::int64_t now_ = 0;
};

void EpollEngine::attach(Flow& flow)
{
    for (Leg& leg : flow.legs) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &leg;
        if (epoll_ctl(epoll_.value(), EPOLL_CTL_ADD, leg.fd, &event) == 0)
            continue;
        flow.failed = true;
        environment_.host.lost(flow);
        return;
    }
}

void EpollEngine::detach(std::span<Flow* const> flows)
{
    for (Flow* flow : flows) {
        for (Leg& leg : flow->legs) {
            epoll_ctl(epoll_.value(), EPOLL_CTL_DEL, leg.fd, nullptr);
            bursts_.leave(leg, boot_time_ms());
        }
    }
    ready_ = 0; // these events may name a leg that is gone; the others come again
}

void EpollEngine::wait(Wait how)
{
    const int timeout = how == Wait::for_work ? -1 : 0;
    const int ready =
        epoll_wait(epoll_.value(), events_.data(), static_cast<int>(events_.size()), timeout);
    ready_ = ready > 0 ? static_cast<unsigned>(ready) : 0;
    ++turn_;
    now_ = boot_time_ms();
}

void EpollEngine::process()
{
    unsigned packets = 0;
    for (unsigned i = 0; i < ready_; ++i) {
        if (events_[i].data.ptr == nullptr)
            continue; // the wake-up itself; edge-triggered, so nobody need read it
        auto& leg = *static_cast<Leg*>(events_[i].data.ptr);
        if ((events_[i].events & EPOLLERR) != 0)
            clear_errors(leg.fd);
        packets += serve(leg);
        if (packets >= least_progress && environment_.attention.load(std::memory_order_relaxed))
            return;
    }
}

unsigned EpollEngine::serve(Leg& leg)
{
    if (leg.path == Path::bursts)
        return serve_burst(leg);
    const unsigned got = serve_packets(leg);
    if (got == 0)
        return 0;
    const auto verdict = leg.rate.count(got, turn_, now_);
    if (verdict == RateMeter::Verdict::fat && environment_.gso == Gso::automatic)
        bursts_.enter(leg);
    return got;
}

unsigned EpollEngine::serve_burst(Leg& leg)
{
    const auto visit = bursts_.serve(leg, turn_, now_);
    if (visit.verdict == RateMeter::Verdict::thin) {
        bursts_.leave(leg, now_);
        leg.rate.rest(now_);
    }
    return visit.packets;
}

unsigned EpollEngine::serve_packets(Leg& leg)
{
    const auto buffer = bursts_.scratch();
    unsigned got = 0;
    while (got < leg.appetite && serve_one(leg, buffer))
        ++got;
    learn_appetite(leg, got);
    return got;
}

/// A socket that is ready in turn after turn may have a backlog: more at once. Where a second read
/// mostly finds nothing, it is tried ever less often.
void EpollEngine::learn_appetite(Leg& leg, unsigned got) const
{
    constexpr std::uint8_t most_caution = 64;
    const bool in_a_row = leg.last_turn + 1 == turn_;
    leg.last_turn = turn_;
    if (got < leg.appetite) {
        const bool in_vain = got < 2;
        leg.caution = in_vain ? std::min<std::uint8_t>(2 * leg.caution, most_caution) : 1;
        leg.appetite = std::max(got, 1U);
        leg.streak = 0;
        return;
    }
    leg.streak = in_a_row ? leg.streak + 1 : 0;
    if (leg.streak < leg.caution)
        return;
    leg.appetite = std::min(2 * leg.appetite, most_packets);
    leg.streak = 0;
}

bool EpollEngine::serve_one(Leg& leg, std::span<std::byte> buffer)
{
    SocketAddress from;
    const ssize_t size =
        recvfrom(leg.fd, buffer.data(), buffer.size(), MSG_DONTWAIT, &from.any, &from.size);
    if (size < 0) {
        if (errno != EAGAIN && errno != EINTR)
            clear_errors(leg.fd);
        return false;
    }
    if (!same_endpoint(from.any, leg.remote)) {
        environment_.host.stray(leg, from.any, buffer.data(), static_cast<std::uint32_t>(size));
        return true;
    }
    leg.count(1, static_cast<std::uint64_t>(size), now_);
    send_packet(*leg.other, buffer.data(), static_cast<std::size_t>(size));
    return true;
}

} // namespace

std::unique_ptr<Engine> make_epoll_engine(const Engine::Environment& environment, mp_error& error)
{
    UniqueFd epoll(epoll_create1(EPOLL_CLOEXEC));
    epoll_event wake{};
    wake.events = EPOLLIN | EPOLLET;
    if (epoll.value() < 0 ||
        epoll_ctl(epoll.value(), EPOLL_CTL_ADD, environment.wake_fd, &wake) != 0) {
        std::snprintf(error.message, sizeof error.message, "engine epoll: %s",
                      std::strerror(errno));
        return nullptr;
    }
    return std::make_unique<EpollEngine>(environment, std::move(epoll));
}

std::int64_t boot_time_ms()
{
    timespec now{};
    clock_gettime(CLOCK_BOOTTIME, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

} // namespace forwarding_userspace
