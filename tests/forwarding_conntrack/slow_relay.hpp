// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>

#include "lab.hpp"

namespace conntrack_test
{

/// The daemon's slow path: a thread that relays whatever reaches the sockets of one call from its
/// two phones.
class SlowRelay
{
public:
    explicit SlowRelay(const LabCall& call);
    SlowRelay(const SlowRelay&) = delete;
    SlowRelay& operator=(const SlowRelay&) = delete;
    ~SlowRelay() { stop(); }

    void stop();
    std::uint64_t relayed() const { return relayed_; }

private:
    void run();

    const LabCall& call_;
    std::atomic<bool> stopping_{false};
    std::atomic<std::uint64_t> relayed_{0};
    std::thread thread_;
};

} // namespace conntrack_test
