// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <memory>

#include "plan.hpp"

namespace forwarding_bench
{

/// Both ends of all streams: sends on the callers' side, counts on the callees'. Never blocks in a
/// receive, so that the relay pays for no wake-up of a phone.
class Phones
{
public:
    explicit Phones(Board& board);
    Phones(const Phones&) = delete;
    Phones& operator=(const Phones&) = delete;
    ~Phones();

    /// Until the board says stop.
    void run(const Case& plan);

private:
    void run_window(const Case& plan);
    void run_paced(const Case& plan);
    void run_fat(const Case& plan);

    void send(unsigned count, unsigned streams);
    void send_joined(unsigned segments);
    std::uint64_t drain();
    std::uint64_t drain_joined();
    void report();

    struct Batches;

    Board& board_;
    std::array<int, phone_sockets> callers_{};
    std::array<int, phone_sockets> callees_{};
    std::unique_ptr<Batches> batches_;
    unsigned next_stream_ = 0;
    unsigned next_callee_ = 0;
    std::uint64_t sent_ = 0;
    std::uint64_t received_ = 0;
    std::uint64_t wrong_ = 0;
};

} // namespace forwarding_bench
