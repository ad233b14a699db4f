// SPDX-License-Identifier: GPL-2.0-or-later
#include "phones.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include <netinet/udp.h>
#include <sys/prctl.h>

#include "sockets.hpp"

namespace forwarding_bench
{
namespace
{

using Clock = std::chrono::steady_clock;

constexpr unsigned batch = 64;
constexpr char pattern = 0x5a;
constexpr int receive_buffer = 4 << 20;

/// How many packets are due at a rate. Time that the phones were not given is forgotten, so that a
/// busy machine makes fewer packets and not a burst of late ones.
class Pace
{
public:
    explicit Pace(unsigned rate) : rate_(rate) {}

    std::uint64_t due()
    {
        const auto now = Clock::now();
        const std::chrono::duration<double> passed =
            std::min(now - last_, Clock::duration(longest));
        last_ = now;
        owed_ += passed.count() * rate_;
        return static_cast<std::uint64_t>(owed_);
    }
    void done(unsigned packets) { owed_ -= packets; }

private:
    static constexpr std::chrono::milliseconds longest{2};

    double rate_;
    double owed_ = 0;
    Clock::time_point last_ = Clock::now();
};

} // namespace

struct Phones::Batches {
    std::array<char, payload_size> payload;
    std::array<sockaddr_in, batch> to;
    std::array<iovec, batch> out_parts;
    std::array<mmsghdr, batch> out;
    std::vector<char> in_memory = std::vector<char>(batch * 2048);
    std::array<iovec, batch> in_parts;
    std::array<mmsghdr, batch> in;
    std::vector<char> joined = std::vector<char>(65536, pattern);
};

Phones::Phones(Board& board) : board_(board), batches_(std::make_unique<Batches>())
{
    for (unsigned i = 0; i < phone_sockets; ++i) {
        callers_[i] = open_socket(board.caller_ports[i], 0);
        callees_[i] = open_socket(board.callee_ports[i], receive_buffer);
    }
    Batches& b = *batches_;
    b.payload.fill(pattern);
    b.payload[0] = static_cast<char>(0x80);
    for (unsigned i = 0; i < batch; ++i) {
        b.out_parts[i] = {b.payload.data(), payload_size};
        b.out[i] = {};
        b.out[i].msg_hdr.msg_iov = &b.out_parts[i];
        b.out[i].msg_hdr.msg_iovlen = 1;
        b.out[i].msg_hdr.msg_name = &b.to[i];
        b.out[i].msg_hdr.msg_namelen = sizeof(sockaddr_in);
        b.in_parts[i] = {b.in_memory.data() + i * 2048, 2048};
        b.in[i] = {};
        b.in[i].msg_hdr.msg_iov = &b.in_parts[i];
        b.in[i].msg_hdr.msg_iovlen = 1;
    }
}

Phones::~Phones()
{
    for (const int fd : callers_)
        close(fd);
    for (const int fd : callees_)
        close(fd);
}

void Phones::run(const Case& plan)
{
    prctl(PR_SET_TIMERSLACK, 1000);
    if (plan.load == Load::window)
        run_window(plan);
    else if (plan.load == Load::paced)
        run_paced(plan);
    else
        run_fat(plan);
    // What is still under way.
    for (int quiet = 0; quiet < 20;) {
        const auto got = plan.load == Load::fat ? drain_joined() : drain();
        quiet = got > 0 ? 0 : quiet + 1;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    report();
}

void Phones::report()
{
    board_.sent.store(sent_);
    board_.received.store(received_);
    board_.wrong.store(wrong_);
}

/// A lost packet would shrink the window for good, so it opens again after a silence.
void Phones::run_window(const Case& plan)
{
    const std::uint64_t window = std::max(128U, 2 * plan.streams);
    std::uint64_t forgiven = 0;
    unsigned idle = 0;
    while (board_.stop.load(std::memory_order_relaxed) == 0) {
        const std::uint64_t under_way = sent_ - received_ - forgiven;
        if (under_way + batch <= window)
            send(batch, plan.streams);
        idle = drain() > 0 ? 0 : idle + 1;
        if (idle > 20000) {
            forgiven = sent_ - received_;
            idle = 0;
        }
        report();
    }
}

void Phones::run_paced(const Case& plan)
{
    Pace pace(plan.rate);
    while (board_.stop.load(std::memory_order_relaxed) == 0) {
        for (auto due = pace.due(); due >= batch / 4; due -= batch / 4) {
            send(batch / 4, plan.streams);
            pace.done(batch / 4);
        }
        drain();
        report();
        std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
}

void Phones::run_fat(const Case& plan)
{
    const int on = 1;
    setsockopt(callees_[0], IPPROTO_UDP, UDP_GRO, &on, sizeof on);
    constexpr unsigned segments = 40;
    Pace pace(plan.rate);
    while (board_.stop.load(std::memory_order_relaxed) == 0) {
        for (auto due = pace.due(); due >= segments; due -= segments) {
            send_joined(segments);
            pace.done(segments);
        }
        drain_joined();
        report();
        std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
}

/// All packets of a batch come from one socket: stream s belongs to phone s % phone_sockets, and
/// streams are walked in that order.
void Phones::send(unsigned count, unsigned streams)
{
    Batches& b = *batches_;
    while (count > 0) {
        const unsigned socket = next_stream_ % phone_sockets;
        unsigned filled = 0;
        while (filled < count && next_stream_ % phone_sockets == socket) {
            b.to[filled++] = loopback(board_.relay_ports[next_stream_]);
            next_stream_ += phone_sockets;
            if (next_stream_ >= streams) {
                next_stream_ = (next_stream_ + 1) % phone_sockets;
                if (next_stream_ >= streams)
                    next_stream_ = 0;
            }
        }
        const int done = sendmmsg(callers_[socket], b.out.data(), filled, 0);
        if (done < 0)
            die("sendmmsg");
        sent_ += static_cast<unsigned>(done);
        count -= filled;
    }
}

void Phones::send_joined(unsigned segments)
{
    iovec part{batches_->joined.data(), segments * payload_size};
    sockaddr_in to = loopback(board_.relay_ports[0]);
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(std::uint16_t))> control{};
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = sizeof to;
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    const std::uint16_t size = payload_size;
    std::memcpy(CMSG_DATA(header), &size, sizeof size);
    if (sendmsg(callers_[0], &message, 0) < 0)
        die("sendmsg with UDP_SEGMENT");
    sent_ += segments;
}

std::uint64_t Phones::drain()
{
    Batches& b = *batches_;
    std::uint64_t total = 0;
    for (unsigned i = 0; i < phone_sockets; ++i) {
        const int got = recvmmsg(callees_[i], b.in.data(), batch, MSG_DONTWAIT, nullptr);
        for (int k = 0; k < got; ++k) {
            const char* data = b.in_memory.data() + k * 2048;
            const bool right = b.in[static_cast<unsigned>(k)].msg_len == payload_size &&
                               data[payload_size - 1] == pattern;
            wrong_ += right ? 0 : 1;
        }
        total += got > 0 ? static_cast<unsigned>(got) : 0;
    }
    received_ += total;
    return total;
}

std::uint64_t Phones::drain_joined()
{
    std::uint64_t total = 0;
    for (;;) {
        const ssize_t size = recv(callees_[0], batches_->joined.data(), 65536, MSG_DONTWAIT);
        if (size < 0)
            break;
        wrong_ += size % payload_size == 0 ? 0 : 1;
        total += static_cast<std::uint64_t>(size) / payload_size;
    }
    received_ += total;
    return total;
}

} // namespace forwarding_bench
