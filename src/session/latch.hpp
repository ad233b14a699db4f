// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

#include "base/time.hpp"
#include "net/endpoint.hpp"

namespace mediaproxy::session
{

/// Whom a leg listens to before it knows its remote endpoint. Policies gated by what was signalled
/// get their place here.
enum class LearningPolicy : std::uint8_t {
    first, ///< the first source wins, as in MediaProxy
};

/// Learns where one leg really sends from. The first source wins and is kept until the latch is
/// told to learn again, or that another may follow; strangers are dropped.
class Latch
{
public:
    enum class Verdict : std::uint8_t {
        drop,
        accept,
        learned, ///< accepted, and the first of its source
    };

    explicit Latch(LearningPolicy policy = LearningPolicy::first) noexcept : policy_(policy) {}

    Verdict on_packet(const net::Endpoint& source, TimePoint now) noexcept;

    /// Anyone may be next.
    void forget() noexcept;
    /// The party announced that it sends from `signalled` now: packets still in flight from the old
    /// source are stale until `until`, unless it has this address or that of the signaling (none
    /// when not told).
    void relearn(const net::Address& signalled, const net::Address& signaling,
                 TimePoint until) noexcept;

    /// The next packet before `until` decides who it is; meanwhile what is sent goes to the learned
    /// endpoint.
    void reopen(TimePoint until) noexcept { open_until_ = until; }
    /// As if it had not been reopened.
    void shut() noexcept { open_until_ = {}; }

    bool learned() const noexcept { return static_cast<bool>(remote_); }
    bool takes_anyone(TimePoint now) const noexcept { return !learned() || now < open_until_; }
    /// The learned endpoint; none when not learned.
    const net::Endpoint& remote() const noexcept { return remote_; }
    /// How often remote() was set or forgotten: whenever it has changed, at least.
    std::uint32_t changes() const noexcept { return changes_; }

private:
    void set_remote(const net::Endpoint& remote) noexcept
    {
        remote_ = remote;
        ++changes_;
    }

    net::Endpoint remote_;
    net::Endpoint ignored_;
    TimePoint ignored_until_{};
    TimePoint open_until_{};
    std::uint32_t changes_ = 0;
    LearningPolicy policy_;
};

} // namespace mediaproxy::session
