// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/record_desk.hpp"

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

/// Within that time the same report may come by another way: `expired` and the answer to `remove`.
constexpr std::chrono::minutes keep_recent{2};

/// FNV-1a, from two beginnings: the same in every run and build.
std::uint64_t hash(std::string_view text, std::uint64_t value = 0xcbf29ce484222325U)
{
    for (const char c : text)
        value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
    return value;
}

/// Of a report whose relay gives none, and of one that we make without the relay: made of what
/// names the call, so that equal reports get the same one, today or after a restart.
std::string make_record_id(const protocol::SessionReport& report, std::string_view relay)
{
    const std::string name = fmt::format("{}\n{}\n{}\n{}", relay, report.call_id, report.from_tag,
                                         report.start_time.value_or(0));
    return fmt::format("{:016x}{:016x}", hash(name), hash(name, 0x6c62272e07bb0142U));
}

} // namespace

bool is_left_by_ice(const protocol::SessionReport& report)
{
    return report.all_streams_ice.value_or(protocol::streams_left_by_ice(report));
}

RecordDesk::RecordDesk(RecordSink* sink) : sink_(sink), recent_(keep_recent)
{
}

bool RecordDesk::put(protocol::SessionReport&& report, End end, const Session* known,
                     std::string_view relay, std::function<void()> durable)
{
    if (!report.start_time || !sink_) {
        if (durable)
            durable();
        return true;
    }
    report.dialog_id = known ? known->dialog_id : std::string();
    if (known)
        date_first_streams(report, *known);
    if (end == End::timed_out)
        report.all_streams_ice = is_left_by_ice(report);
    report.timed_out = end == End::timed_out && !*report.all_streams_ice;
    if (report.record_id.empty())
        report.record_id = make_record_id(report, relay);
    const std::uint64_t name = hash(report.record_id);
    const TimePoint now = BootClock::now();
    if (recent_.find(name, now)) {
        if (durable)
            sink_->when_durable(std::move(durable));
        return true;
    }
    if (report.relay.empty())
        report.relay = relay;
    report.owner.clear();
    if (!sink_->put(std::move(report), std::move(durable)))
        return false;
    ++handed_over_;
    recent_.put(name, true, now);
    return true;
}

void RecordDesk::when_durable(std::function<void()> durable)
{
    if (sink_ && !sink_->is_late())
        sink_->when_durable(std::move(durable));
    else
        durable();
}

void RecordDesk::put_lost(const Session& session, End end, std::string_view relay, const Now& now)
{
    log::warning("session {}: relay {} does not have it any more, its statistics are lost",
                 text::printable(session.call_id, 80), relay);
    put(make_lost_report(session, now), end, &session, relay, {});
}

} // namespace mediaproxy::dispatcher
