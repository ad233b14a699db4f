// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/latch.hpp"

namespace mediaproxy::session
{

Latch::Verdict Latch::on_packet(const net::Endpoint& source, TimePoint now) noexcept
{
    if (learned() && source == remote_) {
        shut();
        return Verdict::accept;
    }
    if (!takes_anyone(now))
        return Verdict::drop;
    if (ignored_ && source == ignored_ && now < ignored_until_)
        return Verdict::drop;
    switch (policy_) {
    case LearningPolicy::first:
        break;
    }
    set_remote(source);
    ignored_ = {};
    shut();
    return Verdict::learned;
}

void Latch::forget() noexcept
{
    set_remote({});
    shut();
}

void Latch::relearn(const net::Address& signalled, const net::Address& signaling,
                    TimePoint until) noexcept
{
    const auto expected = [&](const net::Endpoint& source) {
        return source.address == signalled || (signaling && source.address == signaling);
    };
    if (expected(ignored_))
        ignored_ = {};
    shut();
    if (!learned())
        return;
    if (!expected(remote_)) {
        ignored_ = remote_;
        ignored_until_ = until;
    }
    set_remote({});
}

} // namespace mediaproxy::session
