// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/record_desk.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::string_view table = "records";

/// Answered streams, all of which ICE did not choose: the media went another way, nothing timed
/// out.
bool only_unselected(const protocol::SessionReport& report)
{
    return !report.streams.empty() &&
           std::all_of(report.streams.begin(), report.streams.end(),
                       [](const auto& s) { return s.status == "unselected ICE candidate"; });
}

} // namespace

bool is_left_by_ice(const protocol::SessionReport& report)
{
    return report.all_streams_ice.value_or(only_unselected(report));
}

RecordDesk::RecordDesk(RecordSink* sink, StateStore* store, std::string prefix)
    : sink_(sink), store_(store), prefix_(std::move(prefix))
{
}

void RecordDesk::load(const Now& now)
{
    if (!store_)
        return;
    const auto loaded = store_->load_all(table, [&](std::string_view key, std::string_view value) {
        const auto time = text::parse_number<std::uint64_t>(value);
        const WallTime at =
            time ? WallTime(std::chrono::seconds(static_cast<std::int64_t>(*time))) : now.wall;
        received_[std::string(key)] = Repeat::durable;
        durable_.push_back({at, std::string(key)});
    });
    if (!loaded)
        log::error("dispatcher: the list of acknowledged records cannot be read: {}",
                   loaded.error().message);
    std::sort(durable_.begin(), durable_.end(),
              [](const auto& a, const auto& b) { return a.at < b.at; });
}

void RecordDesk::put(protocol::SessionReport&& report, End end, const Session* known,
                     std::string_view relay, std::function<void()> durable)
{
    if (!report.start_time || !sink_) {
        if (durable)
            durable();
        return;
    }
    report.dialog_id = known ? known->dialog_id : std::string();
    if (end == End::timed_out)
        report.all_streams_ice = is_left_by_ice(report);
    report.timed_out = end == End::timed_out && !*report.all_streams_ice;
    if (report.record_id.empty())
        report.record_id = fmt::format("{}{}", prefix_, ++last_number_);
    if (report.relay.empty())
        report.relay = relay;
    report.owner.clear();
    sink_->put(std::move(report), std::move(durable));
}

void RecordDesk::put_lost(const Session& session, End end, std::string_view relay, const Now& now)
{
    log::warning("session {}: relay {} does not have it any more, its statistics are lost",
                 text::printable(session.call_id, 80), relay);
    put(make_lost_report(session, now), end, &session, relay, {});
}

RecordDesk::Repeat RecordDesk::seen(const std::string& record_id) const
{
    const auto found = received_.find(record_id);
    return found == received_.end() ? Repeat::first : found->second;
}

void RecordDesk::on_received(const std::string& record_id)
{
    received_.try_emplace(record_id, Repeat::waiting);
}

void RecordDesk::on_durable(const std::string& record_id, const Now& now)
{
    received_[record_id] = Repeat::durable;
    durable_.push_back({now.wall, record_id});
    if (!store_)
        return;
    const auto seconds =
        std::chrono::duration_cast<std::chrono::seconds>(now.wall.time_since_epoch());
    store_->save(table, record_id, fmt::format_int(seconds.count()).str());
}

void RecordDesk::forget_before(WallTime limit)
{
    while (!durable_.empty() && durable_.front().at < limit) {
        received_.erase(durable_.front().record_id);
        if (store_)
            store_->erase(table, durable_.front().record_id);
        durable_.pop_front();
    }
}

} // namespace mediaproxy::dispatcher
