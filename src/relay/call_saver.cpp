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
    if (saves_calls())
        table_.on_removal([&store](const auto& traffic) { store.end_traffic(traffic); });
}

std::size_t CallSaver::turns_of_walk(std::size_t places) noexcept
{
    return std::max<std::size_t>(1, (places + places_a_turn - 1) / places_a_turn);
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
    walk_timer_.expires_after(std::chrono::nanoseconds(interval_) /
                              static_cast<std::int64_t>(turns_of_walk(table_.place_count())));
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
    if (std::exchange(owner_changes_, owners_.changes()) != owners_.changes())
        table_.tell_all_again();
    const auto save = [&](session::OwnerId owner, const protocol::SessionReport& report) {
        store_.save_call(owners_.name(owner), report, age(now.mono));
    };
    store_.save_age(age(now.mono));
    const std::size_t stretch = place_ / places_a_turn;
    std::string traffic;
    place_ = table_.tell_changed(
        {place_, places_a_turn, calls_a_turn}, now, save,
        [&](const session::SessionTraffic& one) { append_traffic(traffic, one); });
    save_traffic(stretch, std::move(traffic));
    if (table_.session_count() > 0)
        walk_later();
}

void CallSaver::save_traffic(std::size_t stretch, std::string traffic)
{
    if (saved_traffic_.size() <= stretch)
        saved_traffic_.resize(stretch + 1);
    const std::size_t hash = std::hash<std::string>{}(traffic);
    if (std::exchange(saved_traffic_[stretch], hash) != hash)
        store_.save_traffic(stretch, std::move(traffic));
}

} // namespace mediaproxy::relay
