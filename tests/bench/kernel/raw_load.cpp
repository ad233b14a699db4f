// SPDX-License-Identifier: GPL-2.0-or-later
// The cheapest phones there are: one raw socket in a namespace sends the RTP packets of thousands
// of streams, evenly spread, with right checksums.
//
//   raw_load NETNS STREAMS PACKETS_PER_SECOND SECONDS BURST_US
//
// STREAMS is a file with a line per stream: SOURCE PORT DESTINATION PORT (IPv4). Every BURST_US
// microseconds the packets leave that are due by then. Prints how many packets were sent, and by
// how many microseconds the worst burst was late, as JSON.

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

namespace
{

constexpr std::size_t payload = 172;
constexpr std::int64_t second = 1'000'000'000, microsecond = 1000; // ns

struct Packet {
    iphdr ip;
    udphdr udp;
    std::uint8_t rtp[payload];
};
static_assert(sizeof(Packet) == 20 + 8 + payload);

std::uint32_t sum_of(const void* data, std::size_t size)
{
    std::uint32_t sum = 0;
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    for (std::size_t i = 0; i + 1 < size; i += 2) {
        std::uint16_t word = 0;
        std::memcpy(&word, bytes + i, 2);
        sum += word;
    }
    return sum;
}

std::uint16_t fold(std::uint32_t sum)
{
    while (sum >> 16U)
        sum = (sum & 0xffffU) + (sum >> 16U);
    return static_cast<std::uint16_t>(sum);
}

Packet make_packet(const std::string& from, int from_port, const std::string& to, int to_port)
{
    Packet packet{};
    packet.ip.version = 4;
    packet.ip.ihl = 5;
    packet.ip.tot_len = htons(sizeof packet);
    packet.ip.ttl = 64;
    packet.ip.protocol = IPPROTO_UDP;
    if (inet_pton(AF_INET, from.c_str(), &packet.ip.saddr) != 1 ||
        inet_pton(AF_INET, to.c_str(), &packet.ip.daddr) != 1)
        throw std::runtime_error("not IPv4: " + from + " or " + to);
    packet.udp.source = htons(static_cast<std::uint16_t>(from_port));
    packet.udp.dest = htons(static_cast<std::uint16_t>(to_port));
    packet.udp.len = htons(8 + payload);
    packet.rtp[0] = 0x80; // RTP version 2, payload type 0
    const std::uint32_t pseudo = sum_of(&packet.ip.saddr, 8) + htons(IPPROTO_UDP) + packet.udp.len;
    packet.udp.check = static_cast<std::uint16_t>(
        ~fold(pseudo + sum_of(&packet.udp, sizeof packet - sizeof(iphdr))));
    return packet;
}

/// The next RTP sequence number, the checksum carried along (RFC 1624).
void advance(Packet& packet)
{
    std::uint16_t before = 0;
    std::memcpy(&before, packet.rtp + 2, 2);
    const std::uint16_t after = htons(static_cast<std::uint16_t>(ntohs(before) + 1));
    std::memcpy(packet.rtp + 2, &after, 2);
    const std::uint16_t sum = fold(std::uint32_t{static_cast<std::uint16_t>(~packet.udp.check)} +
                                   static_cast<std::uint16_t>(~before) + after);
    packet.udp.check = static_cast<std::uint16_t>(~sum);
}

std::vector<Packet> read_streams(const char* path)
{
    std::ifstream file(path);
    std::vector<Packet> packets;
    std::string from, to;
    for (int from_port = 0, to_port = 0; file >> from >> from_port >> to >> to_port;)
        packets.push_back(make_packet(from, from_port, to, to_port));
    if (packets.empty())
        throw std::runtime_error(std::string("no streams in ") + path);
    return packets;
}

void enter(const char* netns)
{
    const int fd = open(netns, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
        throw std::runtime_error(std::string(netns) + ": " + std::strerror(errno));
    close(fd);
}

std::int64_t now()
{
    timespec time{};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * second + time.tv_nsec;
}

void sleep_until(std::int64_t when)
{
    const timespec time{when / second, when % second};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, nullptr) == EINTR) {
    }
}

class Sender
{
public:
    explicit Sender(std::vector<Packet> packets)
        : packets_(std::move(packets)), fd_(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW))
    {
        if (fd_ < 0)
            throw std::runtime_error(std::string("a raw socket: ") + std::strerror(errno));
        const int room = 16 << 20;
        setsockopt(fd_, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
        vectors_.resize(packets_.size());
        addresses_.resize(packets_.size());
        messages_.resize(packets_.size());
        for (std::size_t i = 0; i < packets_.size(); ++i) {
            vectors_[i] = {&packets_[i], sizeof(Packet)};
            addresses_[i].sin_family = AF_INET;
            addresses_[i].sin_addr.s_addr = packets_[i].ip.daddr;
            messages_[i].msg_hdr.msg_name = &addresses_[i];
            messages_[i].msg_hdr.msg_namelen = sizeof addresses_[i];
            messages_[i].msg_hdr.msg_iov = &vectors_[i];
            messages_[i].msg_hdr.msg_iovlen = 1;
        }
    }

    /// The next `count` streams send a packet each.
    void burst(std::size_t count)
    {
        while (count > 0) {
            const std::size_t piece = std::min(count, packets_.size() - next_);
            for (std::size_t i = next_; i < next_ + piece; ++i)
                advance(packets_[i]);
            for (std::size_t done = 0; done < piece;) {
                const int taken = sendmmsg(fd_, messages_.data() + next_ + done,
                                           static_cast<unsigned>(piece - done), 0);
                if (taken <= 0)
                    throw std::runtime_error(std::string("sendmmsg: ") + std::strerror(errno));
                done += static_cast<std::size_t>(taken);
            }
            sent_ += piece;
            count -= piece;
            next_ = (next_ + piece) % packets_.size();
        }
    }
    std::size_t sent() const { return sent_; }

private:
    std::vector<Packet> packets_;
    std::vector<iovec> vectors_;
    std::vector<sockaddr_in> addresses_;
    std::vector<mmsghdr> messages_;
    std::size_t next_ = 0, sent_ = 0;
    int fd_;
};

/// `interval`, nanoseconds: between two bursts.
void run(const char* netns, const char* streams, double rate, double seconds, std::int64_t interval)
{
    enter(netns);
    Sender sender(read_streams(streams));
    const std::int64_t begin = now();
    std::int64_t latest = 0;
    const auto bursts = static_cast<std::int64_t>(seconds * second / static_cast<double>(interval));
    for (std::int64_t i = 1; i <= bursts; ++i) {
        sleep_until(begin + i * interval);
        latest = std::max(latest, now() - begin - i * interval);
        const auto due =
            static_cast<std::size_t>(rate * static_cast<double>(i * interval) / second);
        sender.burst(due - sender.sent());
    }
    std::printf("{\"sent\": %zu, \"latest_us\": %lld}\n", sender.sent(),
                static_cast<long long>(latest / microsecond));
}

} // namespace

int main(int count, char** words)
try {
    if (count != 6)
        throw std::runtime_error(
            "usage: raw_load NETNS STREAMS PACKETS_PER_SECOND SECONDS BURST_US");
    run(words[1], words[2], std::stod(words[3]), std::stod(words[4]),
        std::stoll(words[5]) * microsecond);
    return 0;
} catch (const std::exception& problem) {
    std::fprintf(stderr, "raw_load: %s\n", problem.what());
    return 1;
}
