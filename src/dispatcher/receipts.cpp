// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/receipts.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"
#include "dispatcher/saved_state.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::string_view records_table = "records";
constexpr std::string_view lost_table = "lost";
constexpr std::chrono::hours keep_written_off{30 * 24};

std::string to_text(WallTime time)
{
    return std::to_string(time.time_since_epoch().count());
}

std::optional<WallTime> to_time(std::string_view text)
{
    const auto number = text::parse_number<std::uint64_t>(text);
    if (!number || *number > INT64_MAX)
        return std::nullopt;
    return WallTime(std::chrono::microseconds(static_cast<std::int64_t>(*number)));
}

std::string lost_key(std::string_view relay, std::string_view call_id, std::string_view from_tag)
{
    return make_key(relay, make_key(call_id, from_tag));
}

} // namespace

Receipts::Receipts(asio::io_context& io, const RelayPool& pool, StateStore* store,
                   std::chrono::milliseconds gather)
    : timer_(io), gather_(gather), pool_(pool), store_(store)
{
}

void Receipts::load(const Now& now, Duration keep)
{
    if (!store_)
        return;
    auto loaded =
        store_->load_all(records_table, [&](std::string_view key, std::string_view value) {
            received_[std::string(key)] = {true, true};
            // The wall clock may have been set meanwhile: that alone makes nothing too old.
            const Duration age = now.wall - to_time(value).value_or(now.wall);
            remembered_.push_back(
                {now.mono - std::clamp(age, Duration{0}, keep / 2), std::string(key)});
        });
    if (loaded)
        loaded = store_->load_all(lost_table, [&](std::string_view key, std::string_view value) {
            written_off_[std::string(key)] = to_time(value).value_or(now.wall);
        });
    if (!loaded)
        log::error("dispatcher: the list of acknowledged records cannot be read: {}",
                   loaded.error().message);
    std::sort(remembered_.begin(), remembered_.end(),
              [](const auto& a, const auto& b) { return a.at < b.at; });
}

Receipts::Repeat Receipts::seen(const std::string& record_id) const
{
    const auto found = received_.find(record_id);
    if (found == received_.end())
        return Repeat::first;
    return found->second.durable ? Repeat::durable : Repeat::waiting;
}

std::function<void()> Receipts::expect(RelayId relay, const std::string& record_id)
{
    return expect(relay, record_id, Kind::expired);
}

std::function<void()> Receipts::expect_removed(RelayId relay, const protocol::SessionReport& report)
{
    return keeps(relay, report) ? expect(relay, report.record_id, Kind::removed)
                                : std::function<void()>();
}

void Receipts::refuse(RelayId relay, const std::string& record_id)
{
    const auto found = received_.find(record_id);
    if (found == received_.end() || found->second.durable)
        return;
    received_.erase(found);
    refused_.insert(relay);
}

void Receipts::ask_again()
{
    for (const RelayId relay : std::exchange(refused_, {})) {
        if (RelayPeer* const peer = pool_.peer(relay))
            peer->tell_again();
    }
}

void Receipts::dismiss(RelayId relay, const protocol::SessionReport& report)
{
    if (keeps(relay, report))
        acknowledge(relay, report.record_id);
}

bool Receipts::keeps(RelayId relay, const protocol::SessionReport& report) const
{
    const RelayPeer* const peer = pool_.peer(relay);
    return peer && peer->keeps_records() && report.start_time && !report.record_id.empty();
}

std::function<void()> Receipts::expect(RelayId relay, const std::string& record_id, Kind kind)
{
    received_.try_emplace(record_id);
    return [this, alive = std::weak_ptr<int>(alive_), relay, record_id, kind] {
        if (!alive.expired())
            on_durable(relay, record_id, kind);
    };
}

void Receipts::on_durable(RelayId relay, const std::string& record_id, Kind kind)
{
    received_[record_id].durable = true;
    if (kind == Kind::expired)
        remember(record_id, read_clocks());
    acknowledge(relay, record_id);
}

void Receipts::remember(const std::string& record_id, const Now& at)
{
    Received& received = received_[record_id];
    if (std::exchange(received.remembered, true))
        return;
    remembered_.push_back({at.mono, record_id});
    if (store_)
        store_->save(records_table, record_id, to_text(at.wall));
}

void Receipts::acknowledge(RelayId relay, const std::string& record_id)
{
    const auto found = received_.find(record_id);
    if (found != received_.end() && std::exchange(found->second.to_send, true))
        return;
    to_send_[relay].push_back(record_id);
    send_later();
}

void Receipts::send_later()
{
    if (std::exchange(sending_, true))
        return;
    timer_.expires_after(gather_);
    timer_.async_wait([this, alive = std::weak_ptr<int>(alive_)](const asio::error_code& error) {
        if (!error && !alive.expired())
            send_now();
    });
}

void Receipts::send_now()
{
    sending_ = false;
    timer_.cancel();
    for (auto& [relay, record_ids] : std::exchange(to_send_, {})) {
        for (const std::string& record_id : record_ids) {
            if (const auto found = received_.find(record_id); found != received_.end())
                found->second.to_send = false;
        }
        RelayPeer* const peer = pool_.peer(relay);
        auto ids = std::make_shared<std::vector<std::string>>(std::move(record_ids));
        const auto done = [this, alive = std::weak_ptr<int>(alive_), ids](bool heard) {
            for (std::size_t i = 0; i < ids->size() && !alive.expired(); ++i)
                on_heard((*ids)[i], heard);
        };
        if (peer)
            peer->acknowledge(*ids, done);
        else
            done(false);
    }
}

/// A removal is done with when its relay has heard of it; one that has not sends it again.
void Receipts::on_heard(const std::string& record_id, bool heard)
{
    const auto found = received_.find(record_id);
    if (found == received_.end() || found->second.remembered)
        return;
    if (heard)
        received_.erase(found);
    else
        remember(record_id, read_clocks());
}

void Receipts::write_off(std::string_view relay, const Session& session, const Now& now)
{
    const std::string key = lost_key(relay, session.call_id, session.from_tag);
    written_off_[key] = now.wall;
    if (store_)
        store_->save(lost_table, key, to_text(now.wall));
}

bool Receipts::is_written_off(std::string_view relay, const protocol::SessionReport& report) const
{
    if (written_off_.empty())
        return false;
    const auto found = written_off_.find(lost_key(relay, report.call_id, report.from_tag));
    // A session of the same tags that began later is another one.
    return found != written_off_.end() && report.start_time &&
           *report.start_time <=
               std::chrono::duration<double>(found->second.time_since_epoch()).count();
}

void Receipts::forget_before(TimePoint limit, const Now& now)
{
    while (!remembered_.empty() && remembered_.front().at < limit) {
        received_.erase(remembered_.front().record_id);
        if (store_)
            store_->erase(records_table, remembered_.front().record_id);
        remembered_.pop_front();
    }
    std::erase_if(written_off_, [&](const auto& entry) {
        const bool old = entry.second < now.wall - keep_written_off;
        if (old && store_)
            store_->erase(lost_table, entry.first);
        return old;
    });
}

} // namespace mediaproxy::dispatcher
