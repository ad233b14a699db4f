// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "latency.hpp"
#include "packet.hpp"
#include "phone.hpp"
#include "tally.hpp"

namespace media_load
{

enum class Side : std::uint8_t { caller, callee };

constexpr Side other(Side side) noexcept
{
    return side == Side::caller ? Side::callee : Side::caller;
}

/// One line of a plan: who the phones are, and where each was told to send.
struct StreamPlan {
    std::uint32_t id = 0; ///< unique in a run
    Kind kind = Kind::rtp;
    std::array<Address, 2> local, relay; ///< by Side
};

/// Two phones that talk through the relay, and what became of their packets.
class Stream
{
public:
    Stream(const StreamPlan& plan, const Netns& caller, const Netns& callee);

    std::uint32_t id() const noexcept { return id_; }
    Phone& phone(Side side) noexcept { return side == Side::caller ? caller_ : callee_; }
    /// Of what this side sent.
    const Tally& sent_by(Side side) const noexcept { return tallies_[index(side)]; }

    /// Sends the next `count` packets of this side, now.
    void speak(Side side, std::uint32_t count, std::int64_t now_ns) noexcept;
    /// This side received a datagram.
    void hear(Side side, std::span<const std::byte> datagram, const Address& source,
              std::int64_t now_ns, Latency& latency);

private:
    static std::size_t index(Side side) noexcept { return static_cast<std::size_t>(side); }
    std::uint32_t ssrc(Side speaker) const noexcept
    {
        return id_ << 1 | static_cast<std::uint32_t>(speaker);
    }

    std::uint32_t id_;
    Kind kind_;
    Phone caller_, callee_;
    std::array<Tally, 2> tallies_; ///< by the speaker's Side
};

} // namespace media_load
