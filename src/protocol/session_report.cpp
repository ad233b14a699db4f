// SPDX-License-Identifier: GPL-2.0-or-later
#include "protocol/session_report.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "base/text.hpp"

namespace mediaproxy::protocol
{

namespace
{

/// `, "name": `, made by the compiler: a list of thousands of sessions writes some thirty of them
/// for each.
struct Key {
    template <std::size_t size>
    consteval Key(const char (&name)[size]) : length(size - 1 + lead.size() + tail.size())
    {
        std::copy(lead.begin(), lead.end(), text.begin());
        std::copy(name, name + size - 1, text.begin() + lead.size());
        std::copy(tail.begin(), tail.end(), text.begin() + lead.size() + size - 1);
    }

    static constexpr std::string_view lead = ", \"", tail = "\": ", separator = ", ";
    std::array<char, 32> text{};
    std::size_t length;
};

template <std::integral T>
void append_number(std::string& out, T value)
{
    char digits[24];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

/// Writes `{"key": value, ...}` with MediaProxy's separators.
class ObjectWriter
{
public:
    explicit ObjectWriter(std::string& out) : out_(out) { out_ += '{'; }
    ~ObjectWriter() { out_ += '}'; }
    ObjectWriter(const ObjectWriter&) = delete;
    ObjectWriter& operator=(const ObjectWriter&) = delete;

    std::string& key(const Key& name)
    {
        const std::string_view whole(name.text.data(), name.length);
        out_ += std::exchange(first_, false) ? whole.substr(Key::separator.size()) : whole;
        return out_;
    }
    void text(const Key& name, std::string_view value) { append_json_string(key(name), value); }
    void text_if_any(const Key& name, std::string_view value)
    {
        if (!value.empty())
            text(name, value);
    }
    void text_or_null(const Key& name, std::string_view value)
    {
        if (value.empty())
            key(name) += "null";
        else
            text(name, value);
    }
    template <std::integral T>
    void number(const Key& name, T value)
    {
        append_number(key(name), value);
    }
    void number(const Key& name, double value)
    {
        std::string& out = key(name);
        if (!std::isfinite(value)) {
            out += "null";
            return;
        }
        char digits[40];
        const std::string_view shown(
            digits, static_cast<std::size_t>(
                        std::to_chars(digits, digits + sizeof digits, value).ptr - digits));
        out += shown;
        if (shown.find_first_of(".e") == std::string_view::npos)
            out += ".0";
    }
    void number_or_null(const Key& name, const std::optional<double>& value)
    {
        if (value)
            number(name, *value);
        else
            key(name) += "null";
    }
    void boolean(const Key& name, std::optional<bool> value)
    {
        if (value)
            key(name) += *value ? "true" : "false";
    }

private:
    std::string& out_;
    bool first_ = true;
};

void append_stream(std::string& out, const StreamReport& stream)
{
    const Traffic caller = stream.rtp_from_caller + stream.rtcp_from_caller;
    const Traffic callee = stream.rtp_from_callee + stream.rtcp_from_callee;
    ObjectWriter object(out);
    object.text("media_type", stream.media_type);
    object.text("status", stream.status);
    object.number("timeout_wait", stream.timeout_wait);
    object.text("caller_codec", stream.caller_codec);
    object.text("callee_codec", stream.callee_codec);
    object.number("start_time", stream.start_time);
    object.number("end_time", stream.end_time);
    object.number_or_null("post_dial_delay", stream.post_dial_delay);
    object.number("caller_bytes", caller.bytes);
    object.number("callee_bytes", callee.bytes);
    object.number("caller_packets", caller.packets);
    object.number("callee_packets", callee.packets);
    object.text("caller_local", stream.caller_local);
    object.text("callee_local", stream.callee_local);
    object.text("caller_remote", stream.caller_remote);
    object.text("callee_remote", stream.callee_remote);
    object.number("caller_rtcp_bytes", stream.rtcp_from_caller.bytes);
    object.number("callee_rtcp_bytes", stream.rtcp_from_callee.bytes);
    object.number("caller_rtcp_packets", stream.rtcp_from_caller.packets);
    object.number("callee_rtcp_packets", stream.rtcp_from_callee.packets);
    if (stream.created_at)
        object.number("created_at", *stream.created_at);
}

using Counts = std::vector<std::pair<std::string, std::uint64_t>>;

void append_counts(std::string& out, const Counts& counts)
{
    out += '{';
    std::string_view separator;
    for (const auto& [what, count] : counts) {
        out += std::exchange(separator, Key::separator);
        append_json_string(out, what);
        out += ": ";
        append_number(out, count);
    }
    out += '}';
}

/// Bytes that a JSON string may not have as they are, or that are not ASCII.
constexpr auto special_bytes = [] {
    std::array<bool, 256> special{};
    for (std::size_t byte = 0; byte < special.size(); ++byte)
        special[byte] = byte < 0x20 || byte >= 0x7f || byte == '"' || byte == '\\';
    return special;
}();

bool is_special(char byte) noexcept
{
    return special_bytes[static_cast<unsigned char>(byte)];
}

} // namespace

void append_json_string(std::string& out, std::string_view text)
{
    static constexpr char hex[] = "0123456789abcdef";
    out += '"';
    const char* plain = text.data(); // of what was not appended yet
    const char* const end = text.data() + text.size();
    const char* at = std::find_if(plain, end, is_special);
    const bool clean = at == end || text::is_utf8(text);
    for (; at != end; at = std::find_if(at + 1, end, is_special)) {
        const auto byte = static_cast<unsigned char>(*at);
        if (byte >= 0x80 && clean)
            continue;
        out.append(plain, at);
        plain = at + 1;
        if (*at == '"' || *at == '\\')
            out.append({'\\', *at});
        else if (byte < 0x80)
            out.append("\\u00").append({hex[byte >> 4], hex[byte & 15]});
        else
            out += "\xef\xbf\xbd"; // U+FFFD
    }
    out.append(plain, end);
    out += '"';
}

void append_json(std::string& out, const SessionReport& report)
{
    out.reserve(out.size() + 512 + report.streams.size() * 768);
    ObjectWriter object(out);
    object.text("call_id", report.call_id);
    object.text("from_tag", report.from_tag);
    object.text("from_uri", report.from_uri);
    object.text_or_null("to_tag", report.to_tag);
    object.text("to_uri", report.to_uri);
    object.number_or_null("start_time", report.start_time);
    object.number("duration", report.duration);
    object.text("caller_ua", report.caller_ua);
    object.text("callee_ua", report.callee_ua);
    object.text_or_null("username", report.username);
    std::string& streams = object.key("streams");
    streams += '[';
    for (std::size_t i = 0; i < report.streams.size(); ++i) {
        if (i > 0)
            streams += ", ";
        append_stream(streams, report.streams[i]);
    }
    streams += ']';
    if (report.answered_time)
        object.number("answered_time", *report.answered_time);
    object.text_if_any("record_id", report.record_id);
    object.text_if_any("relay", report.relay);
    object.text_if_any("owner", report.owner);
    object.boolean("all_streams_ice", report.all_streams_ice);
    if (report.dialog_id)
        object.text_or_null("dialog_id", *report.dialog_id);
    object.boolean("timed_out", report.timed_out);
    if (report.lost)
        object.boolean("lost", true);
}

std::string to_json(const SessionReport& report)
{
    std::string out;
    append_json(out, report);
    return out;
}

std::string to_json(const RelaySummary& summary)
{
    std::string out;
    {
        ObjectWriter object(out);
        object.text("ip", summary.ip);
        object.text("version", summary.version);
        object.text("status", summary.status);
        object.number("uptime", summary.uptime);
        object.number("session_count", summary.session_count);
        object.key("stream_count");
        append_counts(out, summary.stream_count);
        if (summary.bps_relayed == 0) // as 4.x before the first sample
            object.number("bps_relayed", 0);
        else
            object.number("bps_relayed", summary.bps_relayed);
        if (!summary.flow_count.empty()) {
            object.key("flow_count");
            append_counts(out, summary.flow_count);
        }
    }
    return out;
}

bool streams_left_by_ice(const SessionReport& report) noexcept
{
    bool left = false;
    for (const StreamReport& stream : report.streams) {
        if (stream.status == "rejected" || stream.status == "closed")
            continue;
        if (stream.status != "unselected ICE candidate")
            return false;
        left = true;
    }
    return left;
}

} // namespace mediaproxy::protocol
