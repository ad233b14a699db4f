// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "lab.hpp"

namespace conntrack_test
{

/// Numbered packets in both directions of a call, some thousand a second, until hang_up(), and what
/// became of each of them.
class Talk
{
public:
    struct Direction {
        std::uint64_t sent = 0, received = 0, lost = 0, doubled = 0, wrong_source = 0;
    };

    explicit Talk(const LabCall& call);
    Talk(const Talk&) = delete;
    Talk& operator=(const Talk&) = delete;
    ~Talk();

    /// Waits until so many more packets of each direction have arrived; false after `patience`.
    bool await_more(std::uint64_t packets,
                    std::chrono::seconds patience = std::chrono::seconds(10)) const;
    /// Stops both and waits for what is under way.
    void hang_up();

    const Direction& to_callee() const { return ways_[0].outcome; }
    const Direction& to_caller() const { return ways_[1].outcome; }

private:
    struct Way {
        const UdpPhone* from;
        const UdpPhone* to;
        mp_endpoint in;  ///< where the sender sends to
        mp_endpoint out; ///< whom the receiver hears
        std::atomic<std::uint64_t> sent{0}, received{0};
        std::vector<std::uint8_t> seen{};
        Direction outcome{};
    };
    void speak();
    void listen(Way& way);

    Way ways_[2];
    std::atomic<bool> silent_{false}, deaf_{false};
    std::vector<std::thread> threads_;
};

} // namespace conntrack_test
