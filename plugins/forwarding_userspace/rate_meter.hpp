// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

namespace forwarding_userspace
{

/// Judges whether a leg is fat: many packets a second that come several at a time, so that reading
/// and sending them in bursts pays. Times in milliseconds.
class RateMeter
{
public:
    enum class Verdict { undecided, fat, thin };

    /// `packets` were read in one visit of the socket, or one more in the visit `visit`.
    Verdict count(std::uint32_t packets, std::uint64_t visit, std::int64_t now)
    {
        packets_ += packets;
        if (visit != last_visit_) {
            last_visit_ = visit;
            ++visits_;
        }
        const std::int64_t elapsed = now - since_;
        return elapsed < window ? Verdict::undecided : judge(elapsed, now);
    }

    /// Bursts did not pay: no `fat` for a while.
    void rest(std::int64_t now) { resting_until_ = now + pause; }

private:
    static constexpr std::int64_t window = 200;
    static constexpr std::int64_t pause = 5000;
    static constexpr std::uint64_t fat_rate = 1000;
    static constexpr std::uint64_t thin_rate = 500;

    Verdict judge(std::int64_t elapsed, std::int64_t now)
    {
        const std::uint64_t packets = packets_;
        const std::uint64_t visits = visits_;
        const std::uint64_t rate = packets * 1000 / static_cast<std::uint64_t>(elapsed);
        packets_ = visits_ = 0;
        since_ = now;
        if (rate > fat_rate && packets >= 4 * visits)
            return now < resting_until_ ? Verdict::undecided : Verdict::fat;
        // Between the two bounds a leg stays what it is.
        return rate < thin_rate || packets < 2 * visits ? Verdict::thin : Verdict::undecided;
    }

    std::int64_t since_ = 0;
    std::int64_t resting_until_ = 0;
    std::uint64_t last_visit_ = 0;
    std::uint32_t packets_ = 0;
    std::uint32_t visits_ = 0;
};

} // namespace forwarding_userspace
