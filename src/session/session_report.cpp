// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "session/message.hpp"

namespace mediaproxy::session
{

namespace
{

double to_epoch(WallTime time) noexcept
{
    return static_cast<double>(time.time_since_epoch().count()) / 1e6;
}

} // namespace

/// The relay's address, for a message of which every line is answered 0 too.
Result<net::Address> Session::told_address(const Message& message,
                                           const std::vector<std::unique_ptr<Stream>>& fresh) const
{
    const Party facing = other(message.speaker());
    for (const auto* streams : {&fresh, &streams_}) {
        for (const auto& stream : *streams) {
            const bool serves =
                message.family == net::Family::none || stream->family() == message.family;
            if (serves)
                return stream->ports(facing).told_address();
        }
    }
    auto local = local_address(message, facing);
    if (!local)
        return std::move(local).error();
    return local->advertised ? local->advertised : local->bind;
}

protocol::Ports Session::ports_for(const Message& message, const std::vector<Place>& places,
                                   Missing missing, const net::Address& fallback) const
{
    const Party facing = other(message.speaker());
    protocol::Ports ports;
    ports.rtp.reserve(message.media().size());
    for (std::size_t i = 0; i < message.media().size(); ++i) {
        const Stream* stream = i < places.size() ? places[i].stream : nullptr;
        if ((!stream || !stream->alive()) && missing == Missing::is_live_stream)
            stream = answered_at(i);
        const bool serves = stream && stream->alive() && !message.media()[i].disabled() &&
                            stream->family() == message.family;
        ports.rtp.push_back(serves ? stream->ports(facing).pair().rtp.port : 0);
        if (serves && !ports.address)
            ports.address = stream->ports(facing).told_address();
    }
    if (!ports.address)
        ports.address = fallback;
    return ports;
}

std::string Session::record_id() const
{
    return shared_.rules.record_id_prefix + std::to_string(serial_);
}

/// The streams of the report. One that is answered later stands behind those before.
std::vector<const Stream*> Session::in_report() const
{
    std::vector<const Stream*> answered;
    for (const auto& stream : streams_) {
        if (stream->was_answered())
            answered.push_back(stream.get());
    }
    std::stable_sort(answered.begin(), answered.end(),
                     [](const Stream* a, const Stream* b) { return a->started() < b->started(); });
    return answered;
}

SessionTraffic Session::traffic() const
{
    SessionTraffic traffic{record_id(), {}};
    for (const Stream* stream : in_report())
        traffic.streams.push_back(stream->traffic());
    return traffic;
}

protocol::SessionReport Session::report(TimePoint now) const
{
    protocol::SessionReport report;
    report.call_id = call_id();
    report.from_tag = from_tag();
    report.from_uri = part(ends_[1], ends_[2]);
    report.to_uri = part(ends_[2], static_cast<std::uint32_t>(text_.size()));
    report.to_tag = tags_.text(to_tag_);
    if (started_) {
        report.start_time = to_epoch(started_->wall);
        report.duration = std::chrono::duration_cast<Seconds>(now - started_->mono).count();
    }
    if (answered_time_)
        report.answered_time = to_epoch(*answered_time_);
    if (!caller_ua_.empty())
        report.caller_ua = caller_ua_;
    if (!callee_ua_.empty())
        report.callee_ua = callee_ua_;
    report.username = username_;
    report.record_id = record_id();
    report.relay = shared_.rules.relay_name;

    const std::vector<const Stream*> answered = in_report();
    report.streams.reserve(answered.size());
    for (const Stream* stream : answered) {
        report.streams.push_back(stream->report(started_->mono, now));
        const auto since_created = std::chrono::duration_cast<std::chrono::microseconds>(
            stream->created() - created_.mono);
        report.streams.back().created_at = to_epoch(created_.wall + since_created);
    }
    return report;
}

} // namespace mediaproxy::session
