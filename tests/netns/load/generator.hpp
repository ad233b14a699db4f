// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "stream.hpp"

namespace media_load
{

/// Lets the streams talk at an even rate and listens to them, in the caller's one thread.
class Generator
{
public:
    /// `rate`: packets a second of each speaker.
    explicit Generator(unsigned rate);
    ~Generator();
    Generator(const Generator&) = delete;
    Generator& operator=(const Generator&) = delete;

    void add(std::unique_ptr<Stream> stream);
    /// A descriptor that run() returns for when it becomes readable.
    void watch(int fd);

    /// From now on these sides speak; the streams are spread over the period of a packet.
    void start(std::array<bool, 2> sides);
    /// Nobody speaks any more; gives packets under way the time to arrive: returns once all have,
    /// or none came for `silence`.
    void pause(std::chrono::milliseconds silence);

    /// Sends and receives until the watched descriptor has something.
    void run();

    const std::vector<std::unique_ptr<Stream>>& streams() const noexcept { return streams_; }
    const Latency& latency() const noexcept { return latency_; }
    /// How far the sender was behind its plan, at most. Nanoseconds.
    std::int64_t most_late_ns() const noexcept { return most_late_ns_; }

private:
    struct Clock {
        std::int64_t began_ns = 0;       ///< CLOCK_MONOTONIC
        std::vector<std::uint64_t> said; ///< packets a side of each stream has sent since
    };
    enum class Heard : std::uint8_t { media, command, nothing };

    void speak_due();
    bool all_arrived() const noexcept;
    Heard listen(int timeout_ms);
    void drain(std::uint64_t key);

    std::int64_t period_ns_;
    int epoll_;
    std::vector<std::unique_ptr<Stream>> streams_;
    std::array<bool, 2> speaks_{};
    Clock clock_;
    Latency latency_;
    std::int64_t most_late_ns_ = 0;
};

} // namespace media_load
