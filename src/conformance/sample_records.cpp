// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/sample_records.hpp"

#include <fmt/format.h>
#include <utility>

#include "protocol/session_report.hpp"

namespace mediaproxy::conformance
{

namespace
{

using protocol::SessionReport;
using protocol::StreamReport;

constexpr std::size_t long_text = 10000;
constexpr std::uint64_t beyond_32_bits = (std::uint64_t{1} << 32) + 5;
constexpr std::uint64_t near_the_end = (std::uint64_t{1} << 63) - 7;

/// Scripts, marks that combine, the last code point, and what databases quote by.
constexpr std::string_view odd_text =
    "J\xc3\xbcrgen \xe4\xb8\xad\xe6\x96\x87 \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d e\xcc\x81 "
    "\xf0\x9f\x93\x9e \xf4\x8f\xbf\xbf '; DROP TABLE x; -- \" \\ % _ \t\r\n $1 ?1 {}";

StreamReport usual_stream()
{
    StreamReport stream;
    stream.media_type = "audio";
    stream.status = "closed";
    stream.caller_codec = "G711a";
    stream.callee_codec = "G711a";
    stream.end_time = 60;
    stream.post_dial_delay = 0.35;
    stream.created_at = 1700000000.25;
    stream.rtp_from_caller = {3000, 600000};
    stream.rtp_from_callee = {2998, 599600};
    stream.rtcp_from_caller = {12, 1200};
    stream.rtcp_from_callee = {11, 1100};
    stream.caller_local = "192.0.2.1:50000";
    stream.callee_local = "192.0.2.1:50002";
    stream.caller_remote = "198.51.100.7:4000";
    stream.callee_remote = "2001:db8::7:4002";
    return stream;
}

SessionReport usual_report(std::string id)
{
    SessionReport report;
    report.call_id = id + "@example.com";
    report.record_id = std::move(id);
    report.from_tag = "from-tag";
    report.to_tag = "to-tag";
    report.from_uri = "alice@example.com";
    report.to_uri = "bob@example.com";
    report.start_time = 1700000000.25;
    report.answered_time = 1700000003.5;
    report.duration = 60;
    report.caller_ua = "phone 1.0";
    report.callee_ua = "phone 2.0";
    report.username = "alice";
    report.relay = "relay";
    report.dialog_id = "17:42";
    report.timed_out = false;
    report.all_streams_ice = false;
    report.streams = {usual_stream()};
    return report;
}

/// `text` behind what there is: what must tell records apart goes on doing so.
void extend(SessionReport& report, std::string_view text)
{
    for (std::string* field :
         {&report.call_id, &report.from_tag, &report.to_tag, &report.from_uri, &report.to_uri,
          &report.caller_ua, &report.callee_ua, &report.username, &report.relay})
        *field += text;
    *report.dialog_id += text;
    for (StreamReport& stream : report.streams) {
        for (std::string* field :
             {&stream.media_type, &stream.status, &stream.caller_codec, &stream.callee_codec})
            *field += text;
    }
}

/// What an `expired` of a MediaProxy 4.x relay may lack.
void forget(SessionReport& report)
{
    SessionReport bare;
    bare.record_id = std::move(report.record_id);
    bare.call_id = std::move(report.call_id);
    bare.start_time = 1700000000.0;
    bare.streams.resize(2);
    report = std::move(bare);
}

void enlarge_counters(SessionReport& report)
{
    StreamReport& stream = report.streams.front();
    stream.rtp_from_caller = {beyond_32_bits, near_the_end};
    stream.rtp_from_callee = {near_the_end, beyond_32_bits};
    stream.rtcp_from_caller = {beyond_32_bits + 1, beyond_32_bits + 2};
    stream.rtcp_from_callee = {0, 0};
}

/// The wall clock stepped back during the call, and the year 2262 is near.
void confuse_times(SessionReport& report)
{
    report.start_time = 9223372036.5;
    report.answered_time = 1.5;
    report.duration = -3600;
    report.streams.front().created_at = 9223372000.0;
    report.streams.front().end_time = -3600;
}

void end_by_timeout(SessionReport& report)
{
    report.timed_out = true;
    report.streams.front().status = "no-traffic timeout";
}

void shape_up(SessionReport& report, Shape shape)
{
    switch (shape) {
    case Shape::unicode:
        return extend(report, odd_text);
    case Shape::long_texts:
        return extend(report, std::string(long_text, 'x'));
    case Shape::many_streams:
        report.streams.resize(32, usual_stream());
        return;
    case Shape::no_streams:
        report.streams.clear();
        return;
    case Shape::nothing_known:
        return forget(report);
    case Shape::large_counters:
        return enlarge_counters(report);
    case Shape::odd_times:
        return confuse_times(report);
    case Shape::timed_out:
        return end_by_timeout(report);
    case Shape::ice:
        report.all_streams_ice = true;
        return;
    case Shape::shut_down:
        report.timed_out = true;
        return;
    case Shape::lost:
        report.lost = true;
        return;
    case Shape::usual:
    case Shape::removed:
    case Shape::last:
        return;
    }
}

} // namespace

std::string_view to_text(Shape shape)
{
    switch (shape) {
    case Shape::usual:
        return "of a usual call";
    case Shape::unicode:
        return "full of Unicode and quotes";
    case Shape::long_texts:
        return "with texts of 10 kB";
    case Shape::many_streams:
        return "with 32 streams";
    case Shape::no_streams:
        return "without streams";
    case Shape::nothing_known:
        return "of which next to nothing is known";
    case Shape::large_counters:
        return "with counters of 64 bits";
    case Shape::odd_times:
        return "with odd times";
    case Shape::removed:
        return "with MP_END_REMOVED";
    case Shape::timed_out:
        return "with MP_END_TIMEOUT";
    case Shape::ice:
        return "with MP_END_ICE";
    case Shape::shut_down:
        return "with MP_END_SHUTDOWN";
    case Shape::lost:
        return "with MP_END_LOST";
    case Shape::last:
        break;
    }
    return "";
}

void SampleRecords::add(Shape shape)
{
    SessionReport report = usual_report(fmt::format("{}-{}", run_, pointers_.size() + 1));
    shape_up(report, shape);
    records_.push_back(std::make_unique<accounting::Record>(std::move(report)));
    pointers_.push_back(records_.back()->abi());
}

void SampleRecords::add(Shape shape, std::size_t count)
{
    for (std::size_t i = 0; i < count; ++i)
        add(shape);
}

void SampleRecords::add_with_end_reason(std::uint32_t reason)
{
    add(Shape::usual);
    altered_.push_back(std::make_unique<mp_session_record>(*pointers_.back()));
    altered_.back()->end_reason = reason;
    pointers_.back() = altered_.back().get();
}

} // namespace mediaproxy::conformance
