// SPDX-License-Identifier: GPL-2.0-or-later
#include "attributes.hpp"

#include <algorithm>
#include <limits>
#include <set>
#include <span>
#include <utility>

namespace mediaproxy::accounting_radius
{

namespace
{

constexpr std::string_view unknown = "Unknown"; // as in the JSON, beside something known

using Streams = std::span<const mp_stream_record* const>;

/// Collects what is known.
class Collector
{
public:
    void text(std::string_view name, std::string value)
    {
        if (!value.empty())
            found_.push_back({std::string(name), std::move(value)});
    }
    /// A 32-bit attribute says its most when it is too small.
    void number(std::string_view name, std::int64_t value)
    {
        constexpr std::int64_t most = std::numeric_limits<std::uint32_t>::max();
        if (value >= 0)
            found_.push_back(
                {std::string(name), static_cast<std::uint32_t>(std::min(value, most))});
    }
    /// RFC 2869 section 5.1: the upper half apart, once there is one.
    void octets(std::string_view name, std::string_view gigawords, std::uint64_t value)
    {
        number(name, static_cast<std::uint32_t>(value));
        if (value >> 32 != 0)
            number(gigawords, static_cast<std::uint32_t>(value >> 32));
    }
    void address(const mp_endpoint& endpoint)
    {
        if (endpoint.family == 4)
            found_.push_back({"NAS-IP-Address", copy<Ipv4>(endpoint)});
        else if (endpoint.family == 6)
            found_.push_back({"NAS-IPv6-Address", copy<Ipv6>(endpoint)});
    }
    std::vector<Attribute> take() { return std::move(found_); }

private:
    template <class Address>
    static Address copy(const mp_endpoint& endpoint)
    {
        Address address;
        std::copy_n(endpoint.address, address.size(), address.begin());
        return address;
    }

    std::vector<Attribute> found_;
};

void append(std::string& list, std::string_view word)
{
    if (!list.empty())
        list += ", ";
    list += word;
}

std::int64_t seconds_between(std::int64_t from, std::int64_t to)
{
    return from < 0 || to < from ? -1 : (to - from) / 1000;
}

std::string user_agents(const mp_session_record& record)
{
    const std::string_view caller = record.caller_user_agent, callee = record.callee_user_agent;
    if (caller.empty() && callee.empty())
        return {};
    std::string both(caller.empty() ? unknown : caller);
    both += '+';
    both += callee.empty() ? unknown : callee;
    return both;
}

/// Media types of the streams that lasted.
std::string applications(Streams streams)
{
    std::set<std::string_view> types;
    for (const mp_stream_record* stream : streams) {
        if (stream->ended_at > stream->started_at)
            types.insert(stream->media_type);
    }
    std::string list;
    for (const std::string_view type : types)
        append(list, type);
    return list;
}

std::string caller_codecs(Streams streams)
{
    std::string list;
    bool any_known = false;
    for (const mp_stream_record* stream : streams) {
        const std::string_view codec = stream->caller_codec;
        any_known = any_known || !codec.empty();
        append(list, codec.empty() ? unknown : codec);
    }
    return any_known ? list : std::string();
}

/// MediaProxy says `timeout` of every call that nobody hung up.
std::string media_info(std::uint32_t end_reason)
{
    switch (end_reason) {
    case MP_END_REMOVED:
        return {};
    case MP_END_ICE:
        return "ICE session";
    default:
        return "timeout";
    }
}

mp_endpoint relay_address(Streams streams)
{
    for (const mp_stream_record* stream : streams) {
        if (stream->caller_local.family != 0)
            return stream->caller_local;
    }
    return {};
}

/// Whole seconds of the first that is known; -1: of none.
std::int64_t post_dial_delay(Streams streams)
{
    for (const mp_stream_record* stream : streams) {
        const std::int64_t delay = seconds_between(stream->created_at, stream->first_media_at);
        if (delay >= 0)
            return delay;
    }
    return -1;
}

} // namespace

std::vector<Attribute> attributes_of(const mp_session_record& record, const Choices& choices)
{
    const Streams streams(record.streams, record.stream_count);
    std::uint64_t from_caller = 0, from_callee = 0;
    for (const mp_stream_record* stream : streams) {
        from_caller += stream->rtp_from_caller.bytes + stream->rtcp_from_caller.bytes;
        from_callee += stream->rtp_from_callee.bytes + stream->rtcp_from_callee.bytes;
    }

    Collector found;
    found.number("Acct-Status-Type", choices.status_type);
    found.text("User-Name", *record.username != '\0' ? record.username : "mediaproxy@default");
    found.text("Acct-Session-Id", record.call_id);
    found.text("Sip-From-Tag", record.from_tag);
    found.text("Sip-To-Tag", record.to_tag);
    found.number("Acct-Session-Time", seconds_between(record.started_at, record.ended_at));
    found.octets("Acct-Input-Octets", "Acct-Input-Gigawords", from_caller);
    found.octets("Acct-Output-Octets", "Acct-Output-Gigawords", from_callee);
    found.address(relay_address(streams));
    found.text("Sip-User-Agents", user_agents(record));
    found.text("Sip-Applications", applications(streams));
    found.text("Media-Codecs", caller_codecs(streams));
    found.text("Media-Info", media_info(record.end_reason));
    found.number("Acct-Delay-Time", post_dial_delay(streams));
    if (choices.event_timestamp)
        found.number("Event-Timestamp", seconds_between(0, record.ended_at));
    if (!choices.record_id_attribute.empty())
        found.text(choices.record_id_attribute, record.record_id);
    return found.take();
}

std::vector<Attribute> possible_attributes(const Choices& choices)
{
    std::vector<Attribute> all;
    for (const char* name : {"User-Name", "Acct-Session-Id", "Sip-From-Tag", "Sip-To-Tag",
                             "Sip-User-Agents", "Sip-Applications", "Media-Codecs", "Media-Info"})
        all.push_back({name, std::string()});
    for (const char* name :
         {"Acct-Status-Type", "Acct-Session-Time", "Acct-Input-Octets", "Acct-Input-Gigawords",
          "Acct-Output-Octets", "Acct-Output-Gigawords", "Acct-Delay-Time"})
        all.push_back({name, std::uint32_t{0}});
    all.push_back({"NAS-IP-Address", Ipv4{}});
    all.push_back({"NAS-IPv6-Address", Ipv6{}});
    if (choices.event_timestamp)
        all.push_back({"Event-Timestamp", std::uint32_t{0}});
    if (!choices.record_id_attribute.empty())
        all.push_back({choices.record_id_attribute, std::string()});
    return all;
}

} // namespace mediaproxy::accounting_radius
