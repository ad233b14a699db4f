// SPDX-License-Identifier: GPL-2.0-or-later
#include "scene.hpp"

// What ends a stream or a session without a `remove`, and when.

using namespace mediaproxy;
using namespace mediaproxy::session;

namespace
{

const std::string a = "audio:20.1.0.2:5000:sendrecv";
const std::string b = "audio:20.2.0.2:6000:sendrecv";
const std::string both_a = a + ",video:20.1.0.2:5002:sendrecv";
const std::string both_b = b + ",video:20.2.0.2:6002:sendrecv";

Rules short_rules()
{
    Rules rules;
    rules.stream_timeout = 5s;
    rules.on_hold_timeout = 9s;
    rules.answer_timeout = 7s;
    rules.idle_timeout = 4s;
    return rules;
}

void check_end(const std::vector<Expired>& ended, std::string_view status, std::int64_t waited)
{
    REQUIRE(ended.size() == 1);
    REQUIRE(ended[0].report.streams.size() == 1);
    CHECK(ended[0].report.streams[0].status == status);
    CHECK(ended[0].report.streams[0].timeout_wait == waited);
}

} // namespace

TEST_CASE("an answered call without media expires, and is gone")
{
    Scene scene(short_rules());
    scene.call();
    CHECK(scene.run(4999ms).empty());
    const auto ended = scene.run(1ms);
    check_end(ended, "no-traffic timeout", 5);
    const auto& report = ended[0].report;
    CHECK(report.duration == 5);
    CHECK(report.streams[0].end_time == 5);
    CHECK(report.all_streams_ice == false);
    CHECK(ended[0].owner == 1);
    CHECK(scene.table.session_count() == 0);
    CHECK(scene.ports.live() == 0);
    CHECK_FALSE(scene.table.next_deadline());
    CHECK(scene.remove().error().code == Error::Code::not_found);
}

TEST_CASE("media of one side only is not enough")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    for (int i = 0; i < 40; ++i) {
        scene.rtp(scene.caller, call.for_caller);
        CHECK(scene.run(100ms).empty());
    }
    check_end(scene.run(1s), "no-traffic timeout", 5);
}

TEST_CASE("one-way media is enough where it is allowed, while it lasts")
{
    Rules rules = short_rules();
    rules.allow_one_way = true;
    Scene scene(rules);
    const auto call = scene.call();
    for (int i = 0; i < 300; ++i) {
        scene.rtp(scene.caller, call.for_caller);
        CHECK(scene.run(100ms).empty());
    }
    CHECK(scene.run(4800ms).empty());
    check_end(scene.run(200ms), "no-traffic timeout", 5);
}

TEST_CASE("early media does not count as media since the answer")
{
    Scene scene(short_rules());
    const auto offered = scene.request({a});
    const auto answered = scene.early({b});
    scene.rtp(scene.caller, answered.rtp.at(0));
    scene.rtp(scene.callee, offered.rtp.at(0));
    scene.run(1s);
    scene.reply({b});
    scene.rtp(scene.caller, answered.rtp.at(0));
    check_end(scene.run(6s), "no-traffic timeout", 5);
}

TEST_CASE("two-way media that falls silent expires as idle")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    scene.talk_for(call, 20s);
    CHECK(scene.run(3900ms).empty());
    check_end(scene.run(200ms), "conntrack timeout", 4);
}

TEST_CASE("idle is judged from the last packet, also when it came just after the start")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    scene.run(500ms);
    scene.rtp(scene.caller, call.for_caller);
    scene.rtp(scene.callee, call.for_callee);
    CHECK(scene.run(3999ms).empty());
    check_end(scene.run(1ms), "conntrack timeout", 4);
}

TEST_CASE("one talking side keeps a call alive once both have talked")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    scene.rtp(scene.callee, call.for_callee);
    for (int i = 0; i < 200; ++i) {
        scene.rtp(scene.caller, call.for_caller);
        CHECK(scene.run(100ms).empty());
    }
}

TEST_CASE("STUN stops no timer")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    for (int i = 0; i < 49; ++i) {
        scene.send(scene.caller, call.for_caller, stun_packet());
        scene.send(scene.callee, call.for_callee, stun_packet());
        CHECK(scene.run(100ms).empty());
    }
    check_end(scene.run(100ms), "no-traffic timeout", 5);
}

TEST_CASE("an unused ICE candidate expires as one, where both sides do ICE")
{
    Scene scene(short_rules());
    SECTION("both")
    {
        scene.call(a + ":ice=yes", b + ":ice=yes");
        const auto ended = scene.run(5s);
        check_end(ended, "unselected ICE candidate", 5);
        CHECK(ended[0].report.all_streams_ice == true);
    }
    SECTION("one")
    {
        scene.call(a + ":ice=yes", b + ":ice=no");
        const auto ended = scene.run(5s);
        check_end(ended, "no-traffic timeout", 5);
        CHECK(ended[0].report.all_streams_ice == false);
    }
    SECTION("the other stream was refused")
    {
        scene.request({a + ":ice=yes,video:20.1.0.2:5002:sendrecv:ice=yes"});
        scene.reply({b + ":ice=yes,video:20.2.0.2:0:sendrecv:ice=no"});
        const auto ended = scene.run(5s);
        REQUIRE(ended.size() == 1);
        CHECK(ended[0].report.streams.size() == 2);
        CHECK(ended[0].report.all_streams_ice == true);
    }
    SECTION("the other stream was closed")
    {
        scene.request({a + ":ice=yes,video:20.1.0.2:5002:sendrecv:ice=yes"});
        scene.reply({b + ":ice=yes,video:20.2.0.2:6002:sendrecv:ice=yes"});
        CHECK(scene.run(1s).empty());
        scene.request({a + ":ice=yes,video:20.1.0.2:0:sendrecv:ice=no", 2, "A", "B"});
        scene.reply({b + ":ice=yes,video:20.2.0.2:0:sendrecv:ice=no", 2, "A", "B"});
        const auto ended = scene.run(5s);
        REQUIRE(ended.size() == 1);
        CHECK(ended[0].report.all_streams_ice == true);
    }
    SECTION("answered by a 1xx only")
    {
        scene.request({a + ":ice=yes"});
        scene.early({b + ":ice=yes"});
        const auto ended = scene.run(7s);
        REQUIRE(ended.size() == 1);
        CHECK(ended[0].report.all_streams_ice == true);
    }
    SECTION("not all streams")
    {
        scene.request({a + ":ice=yes,video:20.1.0.2:5002:sendrecv:ice=yes"});
        scene.reply({b + ":ice=yes,video:20.2.0.2:6002:sendrecv:ice=no"});
        const auto ended = scene.run(5s);
        REQUIRE(ended.size() == 1);
        CHECK(ended[0].report.all_streams_ice == false);
    }
}

TEST_CASE("a session lives as long as one of its streams")
{
    Scene scene(short_rules());
    const auto offered = scene.request({both_a});
    const auto answered = scene.reply({both_b});
    const Scene::Call audio{answered.rtp.at(0), offered.rtp.at(0)};
    scene.talk_for(audio, 8s);
    const auto report = scene.report();
    CHECK(report.streams.at(0).status == "active");
    CHECK(report.streams.at(1).status == "no-traffic timeout");
    CHECK(report.streams.at(1).timeout_wait == 5);
    CHECK(report.streams.at(1).end_time == 5);
    CHECK(scene.ports.live() == 2);
    CHECK(scene.table.stream_count().size() == 1);
    const auto ended = scene.run(4s);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].report.streams.size() == 2);
}

TEST_CASE("an unanswered offer expires, never started")
{
    Scene scene(short_rules());
    scene.request({a});
    CHECK(scene.run(6999ms).empty());
    const auto ended = scene.run(1ms);
    REQUIRE(ended.size() == 1);
    CHECK_FALSE(ended[0].report.start_time);
    CHECK(ended[0].report.streams.empty());
    CHECK(ended[0].report.all_streams_ice == false);
    CHECK(scene.ports.live() == 0);
}

TEST_CASE("an offer repeated with another number waits anew")
{
    Scene scene(short_rules());
    scene.request({a});
    scene.run(5s);
    scene.request({a, 2});
    CHECK(scene.run(6s).empty());
    CHECK(scene.run(1s).size() == 1);
}

TEST_CASE("early media keeps a ringing call, silence ends it")
{
    Scene scene(short_rules());
    const auto offered = scene.request({both_a});
    scene.early({both_b});
    for (int i = 0; i < 200; ++i) {
        scene.rtp(scene.callee, offered.rtp.at(0));
        CHECK(scene.run(100ms).empty());
    }
    CHECK(scene.ports.live() == 4);
    const auto ended = scene.run(7s);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].report.start_time);
    CHECK(ended[0].report.streams.at(0).status == "no-traffic timeout");
    CHECK(ended[0].report.streams.at(0).timeout_wait == 7);
}

TEST_CASE("an unanswered re-INVITE loses its own streams only")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    scene.request({both_a, 2, "A", "B"});
    CHECK(scene.ports.live() == 4);
    scene.talk_for(call, 8s);
    CHECK(scene.ports.live() == 2);
    CHECK(scene.report().streams.size() == 1);
    CHECK(scene.report().streams.at(0).status == "active");
}

TEST_CASE("media of an earlier offer does not keep what was offered later and never answered")
{
    Scene scene(short_rules());
    const auto offered = scene.request({a});
    const auto early = scene.early({b}); // the 200 comes without SDP
    scene.run(1s);
    scene.request({"image:20.1.0.2:5004:sendrecv", 2, "A", "B"}); // refused
    CHECK(scene.ports.live() == 4);
    const Scene::Call call{early.rtp.at(0), offered.rtp.at(0)};
    scene.talk_for(call, 6s);
    CHECK(scene.ports.live() == 4);
    scene.talk_for(call, 2s);
    CHECK(scene.ports.live() == 2);
    REQUIRE(scene.report().streams.size() == 1);
    CHECK(scene.report().streams[0].media_type == "audio");
    CHECK(scene.report().streams[0].status == "active");
}

TEST_CASE("a ghost, made by a 200 that comes after the remove, ends as never started")
{
    Scene scene(short_rules());
    scene.call();
    REQUIRE(scene.remove());
    scene.reply({b});
    CHECK(scene.table.session_count() == 1);
    const auto ended = scene.run(7s);
    REQUIRE(ended.size() == 1);
    CHECK_FALSE(ended[0].report.start_time);
    CHECK(scene.ports.live() == 0);
}

TEST_CASE("an unanswered session of port 0 expires")
{
    Scene scene(short_rules());
    scene.request({"audio:20.1.0.2:0:sendrecv"});
    CHECK(scene.run(6999ms).empty());
    CHECK(scene.run(1ms).size() == 1);
}

TEST_CASE("a session whose streams were all closed by signalling waits for the remove")
{
    Scene scene(short_rules());
    scene.call();
    scene.run(1s);
    scene.request({"audio:20.1.0.2:0:sendrecv", 2, "A", "B"});
    scene.reply({"audio:20.2.0.2:0:sendrecv", 2});
    CHECK(scene.ports.live() == 0);
    CHECK(scene.table.session_count() == 1);
    CHECK(scene.run(8999ms).empty());
    const auto ended = scene.run(1ms);
    check_end(ended, "closed", 0);
    CHECK(ended[0].report.duration == 10);
}

TEST_CASE("a reset starts the timers of its leg again")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    scene.talk_for(call, 1s);
    scene.request({a, 2, "A", "B"});
    scene.reply({"audio:20.2.0.9:6060:sendrecv", 2});
    for (int i = 0; i < 49; ++i) {
        scene.rtp(scene.caller, call.for_caller);
        CHECK(scene.run(100ms).empty());
    }
    check_end(scene.run(100ms), "no-traffic timeout", 5);
}

TEST_CASE("a refresh does not start the timers again")
{
    Scene scene(short_rules());
    scene.call();
    scene.run(3s);
    scene.request({a, 2, "A", "B"});
    scene.reply({b, 2});
    check_end(scene.run(2s), "no-traffic timeout", 5);
}

TEST_CASE("the longest session ends, however alive")
{
    Rules rules = short_rules();
    rules.max_session_duration = 30s;
    Scene scene(rules);
    const auto offered = scene.request({a});
    scene.run(2s);
    const auto answered = scene.reply({b});
    scene.talk_for({answered.rtp.at(0), offered.rtp.at(0)}, 29900ms);
    const auto ended = scene.run(200ms);
    check_end(ended, "closed", 0);
    CHECK(ended[0].report.duration == 30);
}

TEST_CASE("a session that was too long did not go another way with ICE")
{
    Rules rules = short_rules();
    rules.max_session_duration = 30s;
    Scene scene(rules);
    const auto offered = scene.request({a + ":ice=yes,video:20.1.0.2:5002:sendrecv:ice=yes"});
    const auto answered = scene.reply({b + ":ice=yes,video:20.2.0.2:6002:sendrecv:ice=yes"});
    scene.talk_for({answered.rtp.at(0), offered.rtp.at(0)}, 29900ms);
    const auto ended = scene.run(200ms);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].report.streams.at(0).status == "closed");
    CHECK(ended[0].report.streams.at(1).status == "unselected ICE candidate");
    CHECK(ended[0].report.all_streams_ice == false);
}

TEST_CASE("silent RTCP is forgotten, its stream lives on")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    const auto rtcp_caller = endpoint("20.1.0.2", 5001), rtcp_callee = endpoint("20.2.0.2", 6001);
    const auto elsewhere = endpoint("20.1.0.2", 5999);
    const auto send_rtcp = [&](const net::Endpoint& from, net::Port to) {
        return scene.send(from, to + 1, rtcp_packet()).action == Verdict::Action::forward;
    };
    SECTION("when one side never sends any")
    {
        CHECK(send_rtcp(rtcp_caller, call.for_caller));
        CHECK_FALSE(send_rtcp(elsewhere, call.for_caller));
        scene.talk_for(call, 5100ms);
        CHECK(send_rtcp(elsewhere, call.for_caller));
    }
    SECTION("when both fall silent")
    {
        CHECK(send_rtcp(rtcp_caller, call.for_caller));
        CHECK(send_rtcp(rtcp_callee, call.for_callee));
        scene.talk_for(call, 3s);
        CHECK(send_rtcp(rtcp_caller, call.for_caller));
        scene.talk_for(call, 3s);
        CHECK_FALSE(send_rtcp(elsewhere, call.for_caller));
        scene.talk_for(call, 5s);
        CHECK(send_rtcp(elsewhere, call.for_caller));
    }
    CHECK(scene.report().streams.at(0).status == "active");
    CHECK(scene.report().streams.at(0).rtcp_from_caller.packets >= 2);
}

TEST_CASE("a table with many sessions looks only at those that are due")
{
    Scene scene(short_rules());
    scene.ports.forget_history();
    for (int i = 0; i < 200; ++i) {
        scene.call(a, b, "call" + std::to_string(i));
        scene.advance(10ms);
    }
    CHECK(scene.table.session_count() == 200);
    std::size_t ended = 0;
    scene.advance(3s + 1ms); // the first is 5.001 s old
    for (int i = 0; i < 200; ++i) {
        const auto some = scene.table.expire(scene.now);
        REQUIRE(some.size() == 1);
        CHECK(some[0].report.call_id == "call" + std::to_string(i));
        ended += some.size();
        scene.advance(10ms);
    }
    CHECK(ended == 200);
    CHECK(scene.ports.live() == 0);
}

TEST_CASE("sessions that are due together end in pieces as large as the shell likes")
{
    Scene scene(short_rules());
    for (int i = 0; i < 25; ++i)
        scene.call(a, b, "call" + std::to_string(i));
    scene.advance(6s);
    CHECK(scene.table.expire(scene.now, 10).size() == 10);
    CHECK(scene.table.next_deadline() <= scene.now.mono);
    CHECK(scene.table.expire(scene.now, 10).size() == 10);
    CHECK(scene.table.expire(scene.now, 10).size() == 5);
    CHECK(scene.table.session_count() == 0);
}

TEST_CASE("all sessions end at once, or those of one owner")
{
    Scene scene;
    REQUIRE(scene.update({a, 1, "A", "", "one"}, 1));
    REQUIRE(scene.update({a, 1, "A", "", "two"}, 2));
    REQUIRE(scene.update({a, 1, "A", "", "three"}, 2));
    scene.reply({b, 1, "A", "B", "three"}); // by whatever dispatcher: it stays the second one's
    CHECK(scene.table.session_count(1) == 1);
    CHECK(scene.table.session_count(2) == 2);
    CHECK(scene.table.session_count(3) == 0);
    const auto second = scene.table.end_all(scene.now, 2);
    REQUIRE(second.size() == 2);
    CHECK(second[0].owner == 2);
    CHECK(second[1].report.streams.at(0).status == "closed");
    CHECK(second[1].report.all_streams_ice == false);
    CHECK(scene.table.end_all(scene.now).size() == 1);
    CHECK(scene.table.session_count() == 0);
    CHECK(scene.ports.live() == 0);
}
