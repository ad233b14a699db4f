// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <cstring>

#include "accounting/record.hpp"
#include "fakes/session_report.hpp"

using namespace mediaproxy;
using accounting::Record;

TEST_CASE("a record has what the report says, times in milliseconds since 1970")
{
    protocol::SessionReport report = fakes::answered_report("r1");
    report.answered_time = 1700000001.5;
    report.caller_ua = "phone/1";
    report.username = "alice";
    report.relay = "relay-7";
    report.dialog_id = "1a:2b";
    protocol::StreamReport& stream = report.streams[0];
    stream.caller_codec = "G711a";
    stream.start_time = 2;
    stream.end_time = 60;
    stream.created_at = 1699999999.0;
    stream.post_dial_delay = 1.25;
    stream.rtp_from_caller = {10, 2000};
    stream.rtcp_from_callee = {1, 100};
    stream.caller_remote = "192.0.2.1:5000";
    stream.callee_local = "2001:db8::1:40002";

    const Record record(report);
    const mp_session_record& abi = *record.abi();
    CHECK(abi.struct_size == sizeof(mp_session_record));
    CHECK(abi.record_id == std::string("r1"));
    CHECK(abi.call_id == std::string("call-r1"));
    CHECK(abi.to_tag == std::string("ttag"));
    CHECK(abi.caller_user_agent == std::string("phone/1"));
    CHECK(abi.callee_user_agent == std::string());
    CHECK(abi.username == std::string("alice"));
    CHECK(abi.relay == std::string("relay-7"));
    CHECK(abi.dialog_id == std::string("1a:2b"));
    CHECK(abi.started_at == 1700000000250);
    CHECK(abi.answered_at == 1700000001500);
    CHECK(abi.ended_at == 1700000060250);
    CHECK(abi.json == protocol::to_json(report));

    REQUIRE(abi.stream_count == 1);
    const mp_stream_record& leg = *abi.streams[0];
    CHECK(leg.struct_size == sizeof(mp_stream_record));
    CHECK(leg.media_type == std::string("audio"));
    CHECK(leg.caller_codec == std::string("G711a"));
    CHECK(leg.callee_codec == std::string());
    CHECK(leg.created_at == 1699999999000);
    CHECK(leg.started_at == 1700000002250);
    CHECK(leg.ended_at == 1700000060250);
    CHECK(leg.first_media_at == 1700000000250);
    CHECK(leg.rtp_from_caller.packets == 10);
    CHECK(leg.rtp_from_caller.bytes == 2000);
    CHECK(leg.rtcp_from_callee.packets == 1);
    CHECK(leg.caller_remote.family == 4);
    CHECK(leg.caller_remote.port == 5000);
    CHECK(std::memcmp(leg.caller_remote.address, "\xc0\x00\x02\x01", 4) == 0);
    CHECK(leg.callee_local.family == 6);
    CHECK(leg.callee_local.port == 40002);
    CHECK(leg.callee_remote.family == 0);
}

TEST_CASE("what is not known is empty or -1")
{
    const Record record{protocol::SessionReport{}};
    const mp_session_record& abi = *record.abi();
    CHECK(abi.started_at == -1);
    CHECK(abi.answered_at == -1);
    CHECK(abi.ended_at == -1);
    CHECK(abi.caller_user_agent == std::string());
    CHECK(abi.dialog_id == std::string());
    CHECK(abi.stream_count == 0);
}

TEST_CASE("the reason why a session ended")
{
    struct Case {
        const char* name;
        bool timed_out, ice, lost;
        const char* status;
        std::uint32_t reason;
    };
    const auto [name, timed_out, ice, lost, status, reason] = GENERATE(values<Case>({
        {"removed by the proxy", false, false, false, "closed", MP_END_REMOVED},
        {"media stopped", true, false, false, "no-traffic timeout", MP_END_TIMEOUT},
        {"the kernel's timeout", true, false, false, "conntrack timeout", MP_END_TIMEOUT},
        {"ICE", false, true, false, "unselected ICE candidate", MP_END_ICE},
        {"the relay stopped", true, false, false, "closed", MP_END_SHUTDOWN},
        {"the relay died", true, false, true, "active", MP_END_LOST},
    }));
    CAPTURE(name);
    protocol::SessionReport report = fakes::answered_report("r1");
    report.timed_out = timed_out;
    report.all_streams_ice = ice;
    report.lost = lost;
    report.streams[0].status = status;
    CHECK(Record(report).abi()->end_reason == reason);
}

TEST_CASE("a zero byte does not cut a string short")
{
    protocol::SessionReport report = fakes::answered_report("r1");
    report.call_id = std::string("a\0b", 3);
    CHECK(Record(report).abi()->call_id == std::string("ab"));
}
