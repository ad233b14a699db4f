// SPDX-License-Identifier: GPL-2.0-or-later
#include <set>

#include "scene.hpp"

// What records and lists say.

using namespace mediaproxy;
using namespace mediaproxy::session;

namespace
{

const std::string a = "audio:20.1.0.2:5000:sendrecv";
const std::string b = "audio:20.2.0.2:6000:sendrecv";

} // namespace

TEST_CASE("the record of a call, step by step")
{
    Rules rules;
    rules.relay_name = "relay7";
    rules.record_id_prefix = "run-";
    Scene scene(rules);
    Says offer{a};
    offer.user_agent = "UA-alice/1.0";
    const auto offered = scene.request(offer);

    auto report = scene.report();
    CHECK(report.call_id == "call");
    CHECK(report.from_tag == "A");
    CHECK(report.from_uri == "alice@example.com");
    CHECK(report.to_uri == "bob@example.com");
    CHECK(report.to_tag.empty());
    CHECK_FALSE(report.start_time);
    CHECK(report.duration == 0);
    CHECK(report.caller_ua == "UA-alice/1.0");
    CHECK(report.callee_ua == "Unknown");
    CHECK(report.streams.empty());
    CHECK(report.relay == "relay7");
    CHECK(report.record_id == "run-1");

    scene.advance(250ms);
    Says answer{b};
    answer.user_agent = "UA-bob/1.0";
    const auto answered = scene.reply(answer);
    report = scene.report();
    CHECK(report.to_tag == "B");
    CHECK(report.callee_ua == "UA-bob/1.0");
    CHECK(report.start_time == 1700000000.25);
    CHECK(report.answered_time == 1700000000.25);
    REQUIRE(report.streams.size() == 1);
    CHECK(report.streams[0].created_at == 1700000000.0);
    CHECK(report.streams[0].status == "active");
    CHECK(report.streams[0].timeout_wait == 0);
    CHECK(report.streams[0].caller_codec == "Unknown");
    CHECK(report.streams[0].caller_remote == "Unknown");
    CHECK(report.streams[0].caller_local == "20.3.0.1:" + std::to_string(answered.rtp.at(0)));
    CHECK(report.streams[0].callee_local == "20.3.0.1:" + std::to_string(offered.rtp.at(0)));

    scene.advance(250ms);
    scene.send(scene.caller, answered.rtp.at(0), rtp_packet(0));
    scene.send(scene.callee, offered.rtp.at(0), rtp_packet(8));
    scene.send(endpoint("20.1.0.2", 5001), answered.rtp.at(0) + 1, rtcp_packet());
    scene.advance(4100ms);
    const auto last = scene.remove();
    REQUIRE(last);
    const auto& stream = last->streams.at(0);
    CHECK(last->duration == 4);
    CHECK(stream.status == "closed");
    CHECK(stream.start_time == 0);
    CHECK(stream.end_time == 4);
    CHECK(stream.post_dial_delay == 0.5);
    CHECK(stream.caller_codec == "G711u");
    CHECK(stream.callee_codec == "G711a");
    CHECK(stream.caller_remote == "20.1.0.2:5000");
    CHECK(stream.callee_remote == "20.2.0.2:6000");
    CHECK(stream.rtp_from_caller == Traffic{1, 200});
    CHECK(stream.rtp_from_callee == Traffic{1, 200});
    CHECK(stream.rtcp_from_caller == Traffic{1, 56});
    CHECK(stream.rtcp_from_callee == Traffic{});
}

TEST_CASE("a removed session that was never answered has no streams")
{
    Scene scene;
    scene.request({a});
    const auto report = scene.remove("A", "");
    REQUIRE(report);
    CHECK_FALSE(report->start_time);
    CHECK(report->streams.empty());
    CHECK(report->to_tag.empty());
}

TEST_CASE("a request does not tell the session's to_tag")
{
    Scene scene;
    scene.request({a, 2, "A", "B"});
    CHECK(scene.report().to_tag.empty());
}

TEST_CASE("streams stand in the order of their start, then of the SDP")
{
    Scene scene;
    scene.request({a + ",video:20.1.0.2:5002:sendrecv"});
    scene.reply({b + ",video:20.2.0.2:6002:sendrecv"});
    scene.advance(3s);
    scene.request({a + ",video:20.1.0.2:5002:sendrecv,text:20.1.0.2:5004:sendrecv", 2, "A", "B"});
    scene.reply({b + ",video:20.2.0.2:0:sendrecv,text:20.2.0.2:6004:sendrecv", 2});
    scene.advance(2s);
    const auto report = scene.report();
    REQUIRE(report.streams.size() == 3);
    CHECK(report.streams[0].media_type == "audio");
    CHECK(report.streams[1].media_type == "video");
    CHECK(report.streams[1].status == "closed");
    CHECK(report.streams[1].end_time == 3);
    CHECK(report.streams[2].media_type == "text");
    CHECK(report.streams[2].start_time == 3);
    CHECK(report.streams[2].end_time == 5);
    CHECK(report.streams[2].created_at == 1700000003.0);
}

TEST_CASE("durations do not follow the wall clock")
{
    Scene scene;
    scene.call();
    scene.now.wall += std::chrono::hours(5);
    scene.advance(7s);
    CHECK(scene.report().duration == 7);
    CHECK(scene.report().start_time == 1700000000.0);
}

TEST_CASE("the user name of the signaling is for accounting")
{
    Scene scene;
    Says says{a};
    says.signaling = R"({"signaling_ip": "20.1.0.2", "username": "alice"})";
    scene.request(says);
    CHECK(scene.report().username == "alice");
    scene.reply({b});
    CHECK(scene.report().username == "alice");
}

TEST_CASE("live streams are counted by media type")
{
    Scene scene;
    scene.request({a + ",video:20.1.0.2:5002:sendrecv"});
    scene.request({a, 1, "A", "", "other"});
    using Counts = std::vector<std::pair<std::string, std::uint64_t>>;
    CHECK(scene.table.stream_count() == Counts{{"audio", 2}, {"video", 1}});
    scene.reply({b});
    CHECK(scene.table.stream_count() == Counts{{"audio", 2}});
    REQUIRE(scene.remove());
    CHECK(scene.remove("A", "", "other"));
    CHECK(scene.table.stream_count().empty());
}

TEST_CASE("a list comes in pieces, whatever happens between them")
{
    Scene scene;
    for (int i = 0; i < 25; ++i)
        scene.request({a, 1, "A", "", "call" + std::to_string(i)});
    std::multiset<std::string> seen;
    const auto page = [&](std::uint64_t after) {
        return scene.table.list(after, 10, scene.now,
                                [&](OwnerId owner, const protocol::SessionReport& report) {
                                    CHECK(owner == 1);
                                    seen.insert(report.call_id);
                                });
    };
    std::uint64_t next = page(0);
    CHECK(seen.size() == 10);
    REQUIRE(next != 0);
    for (int i = 5; i < 15; ++i)
        REQUIRE(scene.remove("A", "", "call" + std::to_string(i)));
    for (int i = 0; i < 3; ++i)
        scene.request({a, 1, "A", "", "new" + std::to_string(i)});
    while (next != 0)
        next = page(next);
    for (int i = 0; i < 25; ++i) {
        const std::string call_id = "call" + std::to_string(i);
        CHECK(seen.count(call_id) == (scene.table.knows(call_id, "A") || i < 10 ? 1 : 0));
    }
}

TEST_CASE("an empty table lists nothing")
{
    Scene scene;
    CHECK(scene.table.list(0, 10, scene.now, [](OwnerId, const auto&) { FAIL(); }) == 0);
    CHECK_FALSE(scene.table.next_deadline());
    CHECK(scene.table.expire(scene.now).empty());
}
