// SPDX-License-Identifier: GPL-2.0-or-later
#include "accounting/record.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "base/text.hpp"
#include "net/address.hpp"

namespace mediaproxy::accounting
{

namespace
{

constexpr std::int64_t never = -1;

std::int64_t to_milliseconds(const std::optional<double>& seconds)
{
    return seconds && std::isfinite(*seconds) ? std::llround(*seconds * 1000) : never;
}

std::int64_t after(std::int64_t start, std::int64_t seconds)
{
    return start == never ? never : start + seconds * 1000;
}

/// What reports call Unknown is empty in the ABI.
const char* text_or_empty(const std::string& text)
{
    return text == "Unknown" ? "" : text.c_str();
}

/// `ip:port` as in reports, IPv6 unbracketed; family 0 for anything else.
mp_endpoint to_endpoint(std::string_view text)
{
    mp_endpoint endpoint{};
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos)
        return endpoint;
    const auto address = net::Address::parse(text.substr(0, colon));
    const auto port = text::parse_number<std::uint16_t>(text.substr(colon + 1));
    if (!address || !port)
        return endpoint;
    endpoint.family = address->is_v4() ? 4 : 6;
    endpoint.port = *port;
    const std::size_t length = address->is_v4() ? 4 : 16;
    std::copy_n(address->bytes().begin(), length, endpoint.address);
    return endpoint;
}

mp_traffic to_traffic(const protocol::Traffic& traffic)
{
    return {traffic.packets, traffic.bytes};
}

/// An expired session in which no stream timed out was ended by its relay.
std::uint32_t end_reason(const protocol::SessionReport& report)
{
    if (report.lost)
        return MP_END_LOST;
    if (report.all_streams_ice.value_or(false))
        return MP_END_ICE;
    if (!report.timed_out.value_or(false))
        return MP_END_REMOVED;
    const bool media_stopped = std::any_of(
        report.streams.begin(), report.streams.end(), [](const protocol::StreamReport& stream) {
            return stream.status.find("timeout") != std::string::npos;
        });
    return media_stopped ? MP_END_TIMEOUT : MP_END_SHUTDOWN;
}

mp_stream_record to_stream(const protocol::StreamReport& report, std::int64_t session_start)
{
    mp_stream_record stream{};
    stream.struct_size = sizeof stream;
    stream.media_type = report.media_type.c_str();
    stream.status = report.status.c_str();
    stream.caller_codec = text_or_empty(report.caller_codec);
    stream.callee_codec = text_or_empty(report.callee_codec);
    stream.created_at = to_milliseconds(report.created_at);
    stream.started_at = after(session_start, report.start_time);
    stream.ended_at = after(session_start, report.end_time);
    stream.first_media_at = report.created_at && report.post_dial_delay
                                ? to_milliseconds(*report.created_at + *report.post_dial_delay)
                                : never;
    stream.caller_remote = to_endpoint(report.caller_remote);
    stream.caller_local = to_endpoint(report.caller_local);
    stream.callee_remote = to_endpoint(report.callee_remote);
    stream.callee_local = to_endpoint(report.callee_local);
    stream.rtp_from_caller = to_traffic(report.rtp_from_caller);
    stream.rtp_from_callee = to_traffic(report.rtp_from_callee);
    stream.rtcp_from_caller = to_traffic(report.rtcp_from_caller);
    stream.rtcp_from_callee = to_traffic(report.rtcp_from_callee);
    return stream;
}

/// C strings end at a zero byte, which SIP has no place for.
void drop_zeros(std::string& text)
{
    std::erase(text, '\0');
}

} // namespace

Record::Record(protocol::SessionReport report) : report_(std::move(report))
{
    for (std::string* text :
         {&report_.record_id, &report_.call_id, &report_.from_tag, &report_.to_tag,
          &report_.from_uri, &report_.to_uri, &report_.caller_ua, &report_.callee_ua,
          &report_.username, &report_.relay})
        drop_zeros(*text);
    json_ = protocol::to_json(report_);

    abi_.struct_size = sizeof abi_;
    abi_.end_reason = end_reason(report_);
    abi_.record_id = report_.record_id.c_str();
    abi_.call_id = report_.call_id.c_str();
    abi_.from_tag = report_.from_tag.c_str();
    abi_.to_tag = report_.to_tag.c_str();
    abi_.from_uri = report_.from_uri.c_str();
    abi_.to_uri = report_.to_uri.c_str();
    abi_.caller_user_agent = text_or_empty(report_.caller_ua);
    abi_.callee_user_agent = text_or_empty(report_.callee_ua);
    abi_.username = report_.username.c_str();
    abi_.dialog_id = report_.dialog_id ? report_.dialog_id->c_str() : "";
    abi_.relay = report_.relay.c_str();
    abi_.started_at = to_milliseconds(report_.start_time);
    abi_.answered_at = to_milliseconds(report_.answered_time);
    abi_.ended_at = after(abi_.started_at, report_.duration);
    abi_.json = json_.c_str();
    fill_streams();
}

void Record::fill_streams()
{
    streams_.reserve(report_.streams.size());
    for (const protocol::StreamReport& stream : report_.streams)
        streams_.push_back(to_stream(stream, abi_.started_at));
    for (const mp_stream_record& stream : streams_)
        stream_pointers_.push_back(&stream);
    abi_.streams = stream_pointers_.data();
    abi_.stream_count = static_cast<std::uint32_t>(stream_pointers_.size());
}

} // namespace mediaproxy::accounting
