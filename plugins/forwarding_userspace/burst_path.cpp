// SPDX-License-Identifier: GPL-2.0-or-later
#include "burst_path.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <netinet/udp.h>

#include "socket_options.hpp"

namespace forwarding_userspace
{
namespace
{

constexpr int send_flags = MSG_DONTWAIT | MSG_NOSIGNAL;

/// The size of the datagrams that the kernel joined in one message, or 0.
std::size_t joined_segment(msghdr& message)
{
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO)
            continue;
        int segment = 0;
        std::memcpy(&segment, CMSG_DATA(c), sizeof segment);
        return segment > 0 ? static_cast<std::size_t>(segment) : 0;
    }
    return 0;
}

bool means_no_gso(int error)
{
    return error == EINVAL || error == EIO || error == EOPNOTSUPP || error == EMSGSIZE ||
           error == ENOPROTOOPT;
}

} // namespace

void send_packet(const Leg& out, const void* data, std::size_t size)
{
    sendto(out.fd, data, size, send_flags, &out.remote.any, out.remote.size);
}

BurstPath::BurstPath(HostLink host, Gso gso)
    : host_(host), gso_(gso),
      buffers_(std::make_unique_for_overwrite<std::byte[]>(slots * slot_stride))
{
    for (unsigned i = 0; i < slots; ++i)
        prepare(i);
}

void BurstPath::prepare(unsigned index)
{
    parts_[index] = {slot(index), slot_size};
    msghdr& header = messages_[index].msg_hdr;
    header.msg_name = &sources_[index].any;
    header.msg_namelen = sizeof(sockaddr_in6);
    header.msg_iov = &parts_[index];
    header.msg_iovlen = 1;
    header.msg_control = controls_[index].bytes.data();
    header.msg_controllen = controls_[index].bytes.size();
    header.msg_flags = 0;
}

void BurstPath::enter(Leg& leg) const
{
    leg.path = Path::bursts;
    leg.appetite = slots;
    leg.gso_refused = false;
    leg.gro = gso_ == Gso::automatic && set_gro(leg.fd, Gro::on);
}

BurstPath::Visit BurstPath::serve(Leg& leg, std::uint64_t visit, std::int64_t now)
{
    const unsigned messages = fetch(leg, leg.appetite);
    if (messages == 0)
        return {0, RateMeter::Verdict::undecided};
    const unsigned packets = deliver(leg, messages, now);
    leg.appetite = std::clamp(slots * messages / packets, 1U, slots);
    return {packets, leg.rate.count(packets, visit, now)};
}

void BurstPath::leave(Leg& leg, std::int64_t now)
{
    leg.path = Path::packets;
    leg.appetite = 1;
    if (!leg.gro)
        return;
    leg.gro = false;
    constexpr int rounds = 4;
    auto emptied = Emptied::nearly;
    for (int round = 0; round < rounds && emptied == Emptied::nearly; ++round)
        emptied = leave_if_empty(leg, now);
    if (emptied == Emptied::yes)
        return;
    // A flood: it comes faster than it is read. The socket is closed to it for less than a
    // millisecond, else a joined message might stay behind.
    refuse_packets(leg.fd);
    while (const unsigned got = fetch(leg, slots))
        deliver(leg, got, now);
    set_gro(leg.fd, Gro::off);
    accept_packets(leg.fd);
}

/// `yes` when UDP_GRO was switched off with nothing joined left in the socket.
BurstPath::Emptied BurstPath::leave_if_empty(Leg& leg, std::int64_t now)
{
    const unsigned got = fetch(leg, slots);
    if (got == slots) {
        deliver(leg, got, now);
        return Emptied::not_by_far;
    }
    // Forwarding waits, so that next to nothing can come, joined, before this.
    set_gro(leg.fd, Gro::off);
    char byte = 0;
    const bool empty = recv(leg.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
    deliver(leg, got, now);
    if (empty)
        return Emptied::yes;
    set_gro(leg.fd, Gro::on);
    return Emptied::nearly;
}

/// Reads up to `most` messages into the first slots.
unsigned BurstPath::fetch(const Leg& leg, unsigned most)
{
    const int got = recvmmsg(leg.fd, messages_.data(), most, MSG_DONTWAIT, nullptr);
    if (got < 0 && errno != EAGAIN && errno != EINTR)
        clear_errors(leg.fd);
    return got > 0 ? static_cast<unsigned>(got) : 0;
}

/// Forwards what fetch() has read; returns how many datagrams that was.
unsigned BurstPath::deliver(Leg& leg, unsigned messages, std::int64_t now)
{
    unsigned packets = 0;
    for (unsigned i = 0; i < messages; ++i)
        packets += take(leg, i, now);
    flush(*leg.other);
    for (unsigned i = 0; i < messages; ++i)
        prepare(i);
    return packets;
}

/// Judges message `index`; returns how many datagrams it holds.
unsigned BurstPath::take(Leg& leg, unsigned index, std::int64_t now)
{
    const std::size_t size = messages_[index].msg_len;
    const std::size_t joined = joined_segment(messages_[index].msg_hdr);
    const std::size_t segment = joined == 0 ? size : std::min(joined, size);
    const auto segments = segment == 0 ? 1U : static_cast<unsigned>((size + segment - 1) / segment);
    std::byte* data = slot(index);
    if (same_endpoint(sources_[index].any, leg.remote)) {
        leg.count(segments, size, now);
        add(*leg.other, data, size, segment, segments);
        return segments;
    }
    for (std::size_t at = 0, i = 0; i < segments; at += segment, ++i)
        host_.stray(leg, sources_[index].any, data + at,
                    static_cast<std::uint32_t>(std::min(segment, size - at)));
    return segments;
}

void BurstPath::add(Leg& out, std::byte* data, std::size_t size, std::size_t segment,
                    unsigned segments)
{
    const bool fits = run_parts_ > 0 && !run_closed_ && segment == run_segment_ &&
                      run_segments_ + segments <= most_segments && run_bytes_ + size <= most_bytes;
    if (run_parts_ > 0 && !fits)
        flush(out);
    run_[run_parts_++] = {data, size};
    run_segments_ += segments;
    run_bytes_ += size;
    run_segment_ = segment;
    run_closed_ = segment == 0 || size % segment != 0;
}

void BurstPath::flush(Leg& out)
{
    if (run_parts_ == 0)
        return;
    const bool joined = run_segments_ > 1 && gso_ == Gso::automatic && !out.gso_refused;
    if (joined && !send_joined(out)) {
        out.gso_refused = true;
        send_singly(out);
    } else if (!joined) {
        send_singly(out);
    }
    run_parts_ = run_segments_ = 0;
    run_bytes_ = 0;
}

/// False when this way out cannot take joined datagrams; other errors are the network's.
bool BurstPath::send_joined(const Leg& out)
{
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(std::uint16_t))> control{};
    sockaddr_in6 to = out.remote.v6;
    msghdr message{};
    message.msg_name = &to;
    message.msg_namelen = out.remote.size;
    message.msg_iov = run_.data();
    message.msg_iovlen = run_parts_;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    const auto segment = static_cast<std::uint16_t>(run_segment_);
    std::memcpy(CMSG_DATA(header), &segment, sizeof segment);
    return sendmsg(out.fd, &message, send_flags) >= 0 || !means_no_gso(errno);
}

void BurstPath::send_singly(const Leg& out)
{
    for (unsigned i = 0; i < run_parts_; ++i) {
        const auto* data = static_cast<const std::byte*>(run_[i].iov_base);
        std::size_t left = run_[i].iov_len;
        do {
            const std::size_t size = std::min(left, run_segment_);
            send_packet(out, data, size);
            data += size;
            left -= size;
        } while (left > 0);
    }
}

} // namespace forwarding_userspace
