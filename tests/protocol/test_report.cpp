// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <string>

#include "protocol/session_report.hpp"

using namespace mediaproxy::protocol;

namespace
{

// Written by MediaProxy 4.1.2.
const std::string theirs =
    R"({"call_id": "call-1@alice", "from_tag": "ftag", "from_uri": "alice@example.com", )"
    R"("to_tag": "ttag", "to_uri": "bob@example.com", "start_time": 1795364484.8828304, )"
    R"("duration": 4, "caller_ua": "UA-alice/1.0", "callee_ua": "UA-bob/1.0", "username": null, )"
    R"("streams": [{"media_type": "audio", "status": "closed", "timeout_wait": 0, )"
    R"("caller_codec": "G711u", "callee_codec": "G711a", "start_time": 0, "end_time": 4, )"
    R"("post_dial_delay": 0.12350010871887207, "caller_bytes": 10400, "callee_bytes": 6200, )"
    R"("caller_packets": 52, "callee_packets": 31, "caller_local": "20.3.0.1:40000", )"
    R"("callee_local": "20.3.0.1:40002", "caller_remote": "20.1.0.2:5000", )"
    R"("callee_remote": "20.2.0.2:6000"}]})";

} // namespace

TEST_CASE("a report of MediaProxy 4.x is understood")
{
    const auto report = parse_report(theirs);
    REQUIRE(report);
    CHECK(report->call_id == "call-1@alice");
    CHECK(report->start_time == 1795364484.8828304);
    CHECK(report->username.empty());
    REQUIRE(report->streams.size() == 1);
    CHECK(report->streams[0].rtp_from_caller == Traffic{52, 10400});
    CHECK(report->streams[0].rtcp_from_caller == Traffic{});
    CHECK(report->streams[0].post_dial_delay == 0.12350010871887207);
    CHECK_FALSE(report->timed_out);
}

TEST_CASE("what we write begins with the keys of MediaProxy 4.x, letter for letter")
{
    SessionReport report = parse_report(theirs).value();
    const std::string ours = to_json(report);
    const std::string up_to_streams = theirs.substr(0, theirs.find("\"callee_remote\""));
    CHECK(ours.substr(0, up_to_streams.size()) == up_to_streams);
}

TEST_CASE("a report survives being written and read")
{
    SessionReport report = parse_report(theirs).value();
    report.call_id = "quote \" backslash \\ tab \t j\xc3\xbcrgen";
    report.to_tag.clear();
    report.start_time.reset();
    report.record_id = "r-1";
    report.relay = "relay1";
    report.owner = "dispatcher1";
    report.answered_time = 1795364485.0;
    report.dialog_id = "1a2b:3c4d";
    report.timed_out = false;
    report.all_streams_ice = true;
    report.lost = true;
    report.streams[0].rtcp_from_callee = {2, 400};
    report.streams[0].created_at = 1795364484.5;
    const auto again = parse_report(to_json(report));
    REQUIRE(again);
    CHECK(to_json(*again) == to_json(report));
    CHECK(again->call_id == report.call_id);
    CHECK(again->streams[0].rtcp_from_callee == Traffic{2, 400});
    CHECK(again->streams[0].rtp_from_callee == Traffic{31, 6200});
    CHECK(again->timed_out == false);
    CHECK(to_json(report).find("\"start_time\": null") != std::string::npos);
}

TEST_CASE("members are understood in any order")
{
    const auto report = parse_report(
        R"({"record_id": "r", "streams": [{"callee_rtcp_packets": 1, "callee_rtcp_bytes": 100,)"
        R"( "callee_packets": 3, "callee_bytes": 300, "caller_codec": "G711u", "status": "closed",)"
        R"( "media_type": "audio"}], "duration": 7, "dialog_id": null, "from_tag": "f",)"
        R"( "unknown": {"call_id": "of something else"}, "call_id": "c\u00e9\n"})");
    REQUIRE(report);
    CHECK(report->call_id == "c\xc3\xa9\n");
    CHECK(report->from_tag == "f");
    CHECK(report->duration == 7);
    CHECK(report->dialog_id == "");
    CHECK(report->record_id == "r");
    REQUIRE(report->streams.size() == 1);
    CHECK(report->streams[0].rtp_from_callee == Traffic{2, 200});
    CHECK(report->streams[0].rtcp_from_callee == Traffic{1, 100});
    CHECK(report->streams[0].caller_codec == "G711u");
    CHECK(report->streams[0].callee_codec == "Unknown");
}

TEST_CASE("a report of many streams and long texts is read whole")
{
    SessionReport report = parse_report(theirs).value();
    report.caller_ua = std::string(20000, '"');
    report.streams.resize(32, report.streams[0]);
    report.streams[31].caller_remote = std::string(5000, 'x');
    const auto again = parse_report(to_json(report));
    REQUIRE(again);
    CHECK(to_json(*again) == to_json(report));
}

TEST_CASE("counters of 64 bits are exact")
{
    SessionReport report = parse_report(theirs).value();
    report.streams[0].rtp_from_caller = {18446744073709551615ULL, 9007199254740993ULL};
    report.streams[0].rtcp_from_caller = {};
    CHECK(parse_report(to_json(report))->streams[0].rtp_from_caller ==
          report.streams[0].rtp_from_caller);
}

TEST_CASE("bytes that are not UTF-8 do not break the JSON")
{
    SessionReport report = parse_report(theirs).value();
    report.from_uri = "a\xff@x";
    CHECK(parse_report(to_json(report))->from_uri == "a\xef\xbf\xbd@x");
}

TEST_CASE("JSON that is cut, deep or of another form is refused")
{
    for (std::size_t length = 0; length < theirs.size(); ++length)
        CHECK_FALSE(parse_report(std::string_view(theirs).substr(0, length)));
    CHECK_FALSE(parse_report("[]"));
    CHECK_FALSE(parse_report("{}"));
    CHECK_FALSE(parse_report(R"({"call_id": 5, "from_tag": "x"})"));
    CHECK_FALSE(parse_report(R"({"call_id": "x", "from_tag": "x", "streams": [5]})"));
    CHECK_FALSE(parse_report(std::string(200000, '[')));
    CHECK_FALSE(parse_report(theirs + "x"));
    CHECK_FALSE(parse_reports(theirs));
    CHECK(parse_reports("[]")->empty());
    CHECK(parse_reports("[" + theirs + ", " + theirs + "]")->size() == 2);
}

TEST_CASE("members of a wrong type count as missing, numbers are held in range")
{
    const auto report = parse_report(
        R"({"call_id": "c", "from_tag": "f", "duration": 1e300, "start_time": "soon",)"
        R"( "streams": [{"caller_packets": -5, "caller_bytes": 12.7, "media_type": null}]})");
    REQUIRE(report);
    CHECK(report->duration == 0);
    CHECK_FALSE(report->start_time);
    CHECK(report->streams[0].rtp_from_caller == Traffic{0, 12});
}

TEST_CASE("a summary is written as MediaProxy 4.x does")
{
    RelaySummary summary{"20.3.0.1", "4.1.2", "active", 5, 1, {{"audio", 1}}, 17600.0};
    CHECK(to_json(summary) ==
          R"({"ip": "20.3.0.1", "version": "4.1.2", "status": "active", "uptime": 5, )"
          R"("session_count": 1, "stream_count": {"audio": 1}, "bps_relayed": 17600.0})");
    summary.flow_count = {{"nftables", 2}, {"slow", 0}};
    CHECK(to_json(summary).ends_with(
        R"("bps_relayed": 17600.0, "flow_count": {"nftables": 2, "slow": 0}})"));
    summary.flow_count.clear();
    summary.stream_count.clear();
    summary.bps_relayed = 0;
    CHECK(to_json(summary).ends_with(R"("stream_count": {}, "bps_relayed": 0})"));
}

TEST_CASE(
    "every number that JSON can write is read to the nearest double, or the report is refused")
{
    const auto read = [](const std::string& number) {
        return parse_report(R"({"call_id": "a", "from_tag": "b", "start_time": )" + number +
                            R"(, "duration": )" + number + R"(, "streams": []})");
    };
    for (const char* zero : {"0", "-0", "0.0", "0e-214", "0.00000000000000000000000000000e-40"})
        CHECK(read(zero).value().start_time == 0.0);
    CHECK(read("1700000000.1234567").value().start_time == 1700000000.1234567);
    CHECK(read("0.1000000000000000055511151231257827021181583404541015625000000000000000001")
              .value()
              .start_time == 0.1);
    CHECK(read("17e2").value().duration == 1700);
    CHECK(read("9007199254740993").value().duration == 9007199254740993);
    for (const char* absurd : {"1e999", "-1e999", "1e2147483648"})
        CHECK_FALSE(read(absurd));
    for (const char* wrong : {"1e", "01", "+1", ".5", "0x1", "NaN", "1.", "--1"})
        CHECK_FALSE(read(wrong));
}
