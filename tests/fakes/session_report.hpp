// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "protocol/session_report.hpp"

namespace mediaproxy::fakes
{

/// An answered call with one audio stream.
inline protocol::SessionReport answered_report(const std::string& record_id)
{
    protocol::SessionReport report;
    report.record_id = record_id;
    report.call_id = "call-" + record_id;
    report.from_tag = "ftag";
    report.to_tag = "ttag";
    report.from_uri = "alice@example.com";
    report.to_uri = "bob@example.com";
    report.start_time = 1700000000.25;
    report.duration = 60;
    report.timed_out = false;
    protocol::StreamReport stream;
    stream.media_type = "audio";
    stream.status = "closed";
    stream.end_time = 60;
    report.streams.push_back(stream);
    return report;
}

} // namespace mediaproxy::fakes
