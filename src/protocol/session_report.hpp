// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"

namespace mediaproxy::protocol
{

/// What was received from one side of a component: packets, and bytes of whole IP packets as the
/// kernel counts them (IP header + UDP header + payload).
struct Traffic {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;
    Traffic& operator+=(const Traffic& other) noexcept
    {
        packets += other.packets;
        bytes += other.bytes;
        return *this;
    }
    friend Traffic operator+(Traffic a, const Traffic& b) noexcept { return a += b; }
    friend bool operator==(const Traffic&, const Traffic&) = default;
};

/// The statistics of one stream, keys as in MediaProxy's records.
struct StreamReport {
    std::string media_type;
    std::string status; ///< active, on hold, closed, rejected, no-traffic timeout, on hold timeout,
                        ///< conntrack timeout, unselected ICE candidate
    std::int64_t timeout_wait = 0; ///< seconds
    std::string caller_codec = "Unknown";
    std::string callee_codec = "Unknown";
    std::int64_t start_time = 0;           ///< seconds after the session's start
    std::int64_t end_time = 0;             ///< seconds after the session's start
    std::optional<double> post_dial_delay; ///< seconds from the offer to the first media packet
    Traffic rtp_from_caller, rtp_from_callee, rtcp_from_caller, rtcp_from_callee;
    std::string caller_local = "Unknown", callee_local = "Unknown";   ///< ip:port
    std::string caller_remote = "Unknown", callee_remote = "Unknown"; ///< ip:port
    std::optional<double> created_at; ///< epoch seconds of the offer; a 4.x relay does not say
};

/// The accounting record of a session in the making: the answer to `remove`, the argument of
/// `expired`, an element of `sessions`.
struct SessionReport {
    std::string call_id, from_tag, from_uri, to_uri;
    std::string to_tag;               ///< empty = null
    std::optional<double> start_time; ///< epoch seconds; nothing = never answered
    std::int64_t duration = 0;        ///< seconds
    std::string caller_ua = "Unknown", callee_ua = "Unknown";
    std::string username; ///< empty = null
    std::vector<StreamReport> streams;

    // Only from and for relays of ours.
    std::optional<double> answered_time; ///< epoch seconds
    std::string record_id;
    std::string relay; ///< the relay's name
    std::string owner; ///< the dispatcher that the session belongs to, in lists of sessions

    // Added on `expired` and by the dispatcher.
    std::optional<bool> all_streams_ice;
    std::optional<std::string> dialog_id;
    std::optional<bool> timed_out;
    bool lost = false;
};

/// What all_streams_ice says of a call that ended by itself: media went another way, which ICE
/// chose; nothing timed out. Streams that were refused or closed before the end carried none.
bool streams_left_by_ice(const SessionReport& report) noexcept;

/// JSON on one line with MediaProxy's separators (`", "` and `": "`), UTF-8; bytes of the strings
/// that are not UTF-8 become U+FFFD.
void append_json(std::string& out, const SessionReport& report);
std::string to_json(const SessionReport& report);

/// From us or from MediaProxy 4.x; unknown keys are passed over. Depth and size are bounded.
Result<SessionReport> parse_report(std::string_view json);
/// A JSON array of reports.
Result<std::vector<SessionReport>> parse_reports(std::string_view json);

/// One relay in the answer to `summary`.
struct RelaySummary {
    std::string ip;
    std::string version;
    std::string status;      ///< active or halting
    std::int64_t uptime = 0; ///< seconds
    std::uint64_t session_count = 0;
    std::vector<std::pair<std::string, std::uint64_t>> stream_count; ///< live streams, media type
    double bps_relayed = 0;
    /// Learned flows by path, `slow` is the daemon itself; a key that MediaProxy 4.x does not have.
    std::vector<std::pair<std::string, std::uint64_t>> flow_count;
};
std::string to_json(const RelaySummary& summary);

/// A JSON string literal with its quotes, appended.
void append_json_string(std::string& out, std::string_view text);

} // namespace mediaproxy::protocol
