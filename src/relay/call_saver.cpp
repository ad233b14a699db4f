// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/call_saver.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <utility>

namespace mediaproxy::relay
{

CallSaver::CallSaver(asio::io_context& io, CallStore& store, session::SessionTable& table,
                     Owners& owners, Seconds interval)
    : store_(store), table_(table), owners_(owners), interval_(interval),
      started_(BootClock::now()), new_timer_(io), walk_timer_(io)
{
}

void CallSaver::stop()
{
    *alive_ = false;
    new_timer_.cancel();
    walk_timer_.cancel();
}

Seconds CallSaver::age(TimePoint now) const
{
    return std::chrono::duration_cast<Seconds>(now - started_);
}

void CallSaver::look()
{
    if (looking_ || !store_.keeps() || (!table_.has_answered() && owners_.unsaved_count() == 0))
        return;
    looking_ = true;
    new_timer_.expires_after(delay);
    new_timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (error || !*alive)
            return;
        looking_ = false;
        save_new();
        look();
    });
}

void CallSaver::save_new()
{
    const Now now = read_clocks();
    owners_.save_old(now.mono - Owners::patience);
    bool any = false;
    table_.tell_answered(now, [&](session::OwnerId owner, const protocol::SessionReport& report) {
        any = true;
        if (saves_calls())
            store_.save_call(owners_.name(owner), report, age(now.mono));
    });
    if (any && saves_calls() && !walking_) {
        place_ = 0;
        walk_later();
    }
}

/// Pauses so that a walk over all places takes one interval.
void CallSaver::walk_later()
{
    walking_ = true;
    const std::size_t turns = std::max<std::size_t>(1, table_.place_count() / places_a_turn);
    walk_timer_.expires_after(std::chrono::nanoseconds(interval_) /
                              static_cast<std::int64_t>(turns));
    walk_timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (error || !*alive)
            return;
        walking_ = false;
        save_some();
    });
}

void CallSaver::save_some()
{
    const Now now = read_clocks();
    if (place_ == 0)
        store_.save_age(age(now.mono));
    const auto save = [&](session::OwnerId owner, const protocol::SessionReport& report) {
        store_.save_call(owners_.name(owner), report, age(now.mono));
    };
    const std::size_t stretch = place_ / places_a_turn;
    std::string traffic;
    place_ = table_.tell_changed(
        place_, places_a_turn, now, save,
        [&](const session::SessionTraffic& one) { append_traffic(traffic, one); });
    if (traffic_.size() <= stretch)
        traffic_.resize(stretch + 1);
    if (const std::size_t hash = std::hash<std::string>{}(traffic);
        std::exchange(traffic_[stretch], hash) != hash)
        store_.save_traffic(stretch, std::move(traffic));
    if (table_.session_count() > 0)
        walk_later();
}

} // namespace mediaproxy::relay
