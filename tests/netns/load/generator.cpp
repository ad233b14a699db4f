// SPDX-License-Identifier: GPL-2.0-or-later
#include "generator.hpp"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <system_error>
#include <utility>

#include <sys/epoll.h>
#include <unistd.h>

namespace media_load
{
namespace
{

constexpr std::uint64_t command_key = ~std::uint64_t{0};
constexpr int tick_ms = 1; ///< how long listening may keep the speakers waiting
constexpr int most_events = 256;
constexpr unsigned sends_a_turn = 64; ///< then it listens, for receive queues are short
constexpr unsigned most_datagrams = 16;
constexpr std::size_t largest_datagram = 2048;

std::int64_t now_ns() noexcept
{
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

std::uint64_t key_of(std::size_t stream, Side side, std::size_t socket) noexcept
{
    return stream << 2 | static_cast<std::uint64_t>(side) << 1 | socket;
}

void add_to(int epoll, int fd, std::uint64_t key)
{
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = key;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        throw std::system_error(errno, std::generic_category(), "epoll_ctl");
}

} // namespace

Generator::Generator(unsigned rate)
    : period_ns_(1'000'000'000 / rate), epoll_(epoll_create1(EPOLL_CLOEXEC))
{
    if (epoll_ < 0)
        throw std::system_error(errno, std::generic_category(), "epoll_create1");
}

Generator::~Generator()
{
    close(epoll_);
}

void Generator::add(std::unique_ptr<Stream> stream)
{
    for (const Side side : {Side::caller, Side::callee})
        for (std::size_t i = 0; i < Phone::sockets; ++i)
            add_to(epoll_, stream->phone(side).descriptors()[i], key_of(streams_.size(), side, i));
    streams_.push_back(std::move(stream));
}

void Generator::watch(int fd)
{
    add_to(epoll_, fd, command_key);
}

void Generator::start(std::array<bool, 2> sides)
{
    speaks_ = sides;
    clock_ = {now_ns(), std::vector<std::uint64_t>(streams_.size())};
}

void Generator::pause(std::chrono::milliseconds silence)
{
    speaks_ = {};
    std::int64_t last_ns = now_ns();
    while (!all_arrived() && now_ns() - last_ns < std::chrono::nanoseconds(silence).count())
        if (listen(static_cast<int>(silence.count())) == Heard::media)
            last_ns = now_ns();
    while (listen(tick_ms) == Heard::media) // what came twice comes now
        continue;
}

void Generator::run()
{
    const bool silent = !speaks_[0] && !speaks_[1];
    for (;;) {
        if (!silent)
            speak_due();
        if (listen(silent ? -1 : tick_ms) == Heard::command)
            return;
    }
}

void Generator::speak_due()
{
    const std::int64_t now = now_ns();
    unsigned sends = 0;
    for (std::size_t i = 0; i < clock_.said.size(); ++i) {
        const std::int64_t begin =
            clock_.began_ns + period_ns_ * static_cast<std::int64_t>(i) /
                                  static_cast<std::int64_t>(clock_.said.size());
        if (now < begin)
            break;
        const auto due = static_cast<std::uint64_t>((now - begin) / period_ns_) + 1;
        const auto missing = static_cast<std::uint32_t>(due - clock_.said[i]);
        if (missing == 0)
            continue;
        most_late_ns_ = std::max(
            most_late_ns_, now - begin - period_ns_ * static_cast<std::int64_t>(clock_.said[i]));
        for (const Side side : {Side::caller, Side::callee})
            if (speaks_[static_cast<std::size_t>(side)])
                streams_[i]->speak(side, missing, now_ns());
        clock_.said[i] = due;
        if (++sends % sends_a_turn == 0)
            listen(0);
    }
}

bool Generator::all_arrived() const noexcept
{
    return std::all_of(streams_.begin(), streams_.end(), [](const auto& stream) {
        return stream->sent_by(Side::caller).lost() == 0 &&
               stream->sent_by(Side::callee).lost() == 0;
    });
}

Generator::Heard Generator::listen(int timeout_ms)
{
    std::array<epoll_event, most_events> events{};
    const int count = epoll_wait(epoll_, events.data(), most_events, timeout_ms);
    Heard heard = Heard::nothing;
    for (int i = 0; i < count; ++i) {
        const std::uint64_t key = events[static_cast<std::size_t>(i)].data.u64;
        if (key == command_key) {
            heard = Heard::command;
            continue;
        }
        drain(key);
        if (heard == Heard::nothing)
            heard = Heard::media;
    }
    return heard;
}

void Generator::drain(std::uint64_t key)
{
    std::array<std::array<std::byte, largest_datagram>, most_datagrams> buffers;
    std::array<Address, most_datagrams> sources;
    std::array<iovec, most_datagrams> parts{};
    std::array<mmsghdr, most_datagrams> headers{};
    for (std::size_t i = 0; i < most_datagrams; ++i) {
        parts[i] = {buffers[i].data(), buffers[i].size()};
        headers[i].msg_hdr.msg_name = sources[i].any();
        headers[i].msg_hdr.msg_namelen = sources[i].size;
        headers[i].msg_hdr.msg_iov = &parts[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
    Stream& stream = *streams_[key >> 2];
    const Side side = (key >> 1 & 1) == 0 ? Side::caller : Side::callee;
    const int fd = stream.phone(side).descriptors()[key & 1];
    const int count = recvmmsg(fd, headers.data(), most_datagrams, MSG_DONTWAIT, nullptr);
    const std::int64_t now = now_ns();
    for (std::size_t i = 0; count > 0 && i < static_cast<std::size_t>(count); ++i)
        stream.hear(side, {buffers[i].data(), headers[i].msg_len}, sources[i], now, latency_);
}

} // namespace media_load
