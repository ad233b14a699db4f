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

/// FNV-1a of 64 bits: the same in every run and build.
std::uint64_t hash(std::string_view text)
{
    std::uint64_t value = 0xcbf29ce484222325U;
    for (const char c : text)
        value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return value;
}

/// Of a record that we make without the relay. The same when a kill -9 came between the record and
/// the end of its session, and the next run makes it again.
std::string lost_record_id(const Session& session, std::string_view relay)
{
    return fmt::format("lost-{:x}-{:016x}", session.created.time_since_epoch().count(),
                       hash(fmt::format("{}\n{}\n{}", relay, session.call_id, session.from_tag)));
}

/// Answered streams, all of which ICE did not choose: the media went another way, nothing timed
/// out.
bool only_unselected(const protocol::SessionReport& report)
{
    return !report.streams.empty() &&
           std::all_of(report.streams.begin(), report.streams.end(),
                       [](const auto& s) { return s.status == "unselected ICE candidate"; });
}

} // namespace

RecordDesk::RecordDesk(RecordSink* sink, std::string prefix)
    : sink_(sink), prefix_(std::move(prefix))
{
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
    if (end == End::timed_out && !report.all_streams_ice)
        report.all_streams_ice = only_unselected(report);
    report.timed_out = end == End::timed_out && !(report.all_streams_ice.value_or(false));
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
    protocol::SessionReport report = make_lost_report(session, now);
    report.record_id = lost_record_id(session, relay);
    put(std::move(report), end, &session, relay, {});
}

} // namespace mediaproxy::dispatcher
