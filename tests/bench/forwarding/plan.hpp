// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include <netinet/in.h>

namespace forwarding_bench
{

constexpr unsigned most_streams = 4000;
constexpr unsigned phone_sockets = 64; ///< a side; streams share them, so phones stay cheap
constexpr unsigned payload_size = 172; ///< RTP with 20 ms of G.711

/// What relay and phones of one case share (memory mapped into both processes).
struct Board {
    std::atomic<int> relay_ready{0};
    std::atomic<int> stop{0};
    std::array<std::uint16_t, phone_sockets> caller_ports{};
    std::array<std::uint16_t, phone_sockets> callee_ports{};
    std::array<std::uint16_t, most_streams> relay_ports{}; ///< where callers send to

    std::atomic<std::uint64_t> sent{0};
    std::atomic<std::uint64_t> received{0};
    std::atomic<std::uint64_t> wrong{0}; ///< not what was sent
    std::atomic<std::uint64_t> relay_counted{0};
    std::atomic<double> remove_p50_us{0}; ///< of remove() during the load, as the caller waits
    std::atomic<double> remove_p99_us{0};
};

enum class Relay { naive, epoll, io_uring };
enum class Load {
    window, ///< as fast as the relay can, a bounded number under way
    paced,  ///< a given rate, one packet a stream in turn
    fat,    ///< a given rate, one stream, sent and received with GSO and GRO
};

struct Case {
    Relay relay;
    Load load;
    unsigned streams;
    unsigned rate; ///< packets/s, but for window
    double seconds;
};

struct Outcome {
    double packets_per_second = 0;
    double cpu_us_per_packet = 0; ///< of the relay's process
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t wrong = 0;
    std::uint64_t relay_counted = 0;
    double remove_p50_us = 0;
    double remove_p99_us = 0;
};

} // namespace forwarding_bench
