// SPDX-License-Identifier: GPL-2.0-or-later
#include "scene.hpp"

// Flows that a forwarding back end carries: when they begin, what ends them, how they count.

using namespace mediaproxy;
using namespace mediaproxy::session;

namespace
{

const std::string a = "audio:20.1.0.2:5000:sendrecv";
const std::string b = "audio:20.2.0.2:6000:sendrecv";

Rules short_rules()
{
    Rules rules;
    rules.stream_timeout = 5s;
    rules.on_hold_timeout = 30s;
    rules.idle_timeout = 4s;
    return rules;
}

std::string to_string(const mp_endpoint& endpoint)
{
    return std::to_string(endpoint.address[0]) + "." + std::to_string(endpoint.address[1]) + "." +
           std::to_string(endpoint.address[2]) + "." + std::to_string(endpoint.address[3]) + ":" +
           std::to_string(endpoint.port);
}

} // namespace

TEST_CASE("a flow is ready when both RTP legs were learned and have sent media")
{
    Scene scene;
    const auto call = scene.call();
    CHECK_FALSE(scene.rtp(scene.caller, call.for_caller).install_ready);
    CHECK_FALSE(scene.table.begin_flow(scene.ports.role(call.for_caller)));
    CHECK_FALSE(scene.send(scene.callee, call.for_callee, stun_packet()).install_ready);
    CHECK(scene.rtp(scene.callee, call.for_callee).install_ready);
    const auto plan = scene.table.begin_flow(scene.ports.role(call.for_callee));
    REQUIRE(plan);
    CHECK(plan->flow.id == 1);
    CHECK(plan->flow.struct_size == sizeof(mp_flow));
    CHECK(to_string(plan->flow.caller_remote) == "20.1.0.2:5000");
    CHECK(to_string(plan->flow.callee_remote) == "20.2.0.2:6000");
    CHECK(to_string(plan->flow.caller_local) == "20.3.0.1:" + std::to_string(call.for_caller));
    CHECK(to_string(plan->flow.callee_local) == "20.3.0.1:" + std::to_string(call.for_callee));
    CHECK(plan->flow.orphan_timeout_ms > 7200000);
    CHECK(plan->caller_slot == scene.ports.behind(call.for_caller)->pair.slot);
    CHECK(plan->callee_slot == scene.ports.behind(call.for_callee)->pair.slot);
    CHECK_FALSE(scene.table.begin_flow(scene.ports.role(call.for_callee)));
    CHECK_FALSE(scene.rtp(scene.callee, call.for_callee).install_ready);
}

TEST_CASE("RTCP takes the fast path only when asked")
{
    for (const bool accelerated : {false, true}) {
        Rules rules;
        rules.accelerate_rtcp = accelerated;
        Scene scene(rules);
        const auto call = scene.call();
        const auto rtcp_role = scene.ports.role(call.for_callee + 1);
        scene.send(endpoint("20.1.0.2", 5001), call.for_caller + 1, rtcp_packet());
        const auto verdict =
            scene.send(endpoint("20.2.0.2", 6001), call.for_callee + 1, rtcp_packet());
        CHECK(verdict.install_ready == accelerated);
        const auto plan = scene.table.begin_flow(rtcp_role);
        REQUIRE(plan.has_value() == accelerated);
        if (plan) {
            CHECK(plan->component == ComponentKind::rtcp);
            CHECK(to_string(plan->flow.caller_local) ==
                  "20.3.0.1:" + std::to_string(call.for_caller + 1));
        }
    }
}

TEST_CASE("readings add up with the slow path, and the last ones come with the removal")
{
    Scene scene;
    const auto call = scene.call();
    const FlowId id = scene.talk_and_install(call);
    scene.table.on_readings(std::vector{scene.reading(id, 100, 50, scene.now.mono)},
                            scene.now.mono);
    CHECK(scene.report().streams.at(0).rtp_from_caller == Traffic{101, 20200});
    CHECK(scene.report().streams.at(0).rtp_from_callee == Traffic{51, 10200});
    scene.table.on_readings(std::vector{scene.reading(id, 110, 60, scene.now.mono)},
                            scene.now.mono);
    CHECK(scene.report().streams.at(0).rtp_from_caller.packets == 111);
    scene.rtp(scene.caller, call.for_caller); // a stray of the right source
    CHECK(scene.report().streams.at(0).rtp_from_caller.packets == 112);
    CHECK(scene.table.total_bytes() == (112 + 61) * 200);

    scene.fast_path.totals[id] = scene.reading(id, 120, 70, scene.now.mono);
    const auto report = scene.remove();
    REQUIRE(report);
    CHECK(report->streams.at(0).rtp_from_caller.packets == 122);
    CHECK(report->streams.at(0).rtp_from_callee.packets == 71);
    CHECK(scene.fast_path.uninstalled == std::vector<FlowId>{id});
    CHECK(scene.table.total_bytes() == (122 + 71) * 200);
    scene.table.on_readings(std::vector{scene.reading(id, 130, 80, scene.now.mono)},
                            scene.now.mono);
    CHECK(scene.table.total_bytes() == (122 + 71) * 200);
}

TEST_CASE("a flow is taken back when a leg is reset, a stream closes, or is replaced")
{
    Scene scene;
    const auto call = scene.call();
    const FlowId id = scene.talk_and_install(call);
    scene.request({a, 2, "A", "B"});
    CHECK(scene.fast_path.uninstalled.empty());
    SECTION("not by a refresh")
    {
        scene.reply({b, 2});
        CHECK(scene.fast_path.uninstalled.empty());
        return;
    }
    SECTION("not by a stranger or a spiral")
    {
        scene.rtp(endpoint("20.9.9.9", 9), call.for_caller);
        scene.reply({"audio:20.3.0.1:" + std::to_string(call.for_caller) + ":sendrecv", 2});
        CHECK(scene.fast_path.uninstalled.empty());
        return;
    }
    SECTION("reset")
    {
        scene.reply({"audio:20.2.0.9:6060:sendrecv", 2});
        CHECK_FALSE(scene.rtp(scene.caller, call.for_caller).install_ready);
        CHECK(scene.rtp(endpoint("20.2.0.9", 6060), call.for_callee).install_ready);
        const auto plan = scene.table.begin_flow(scene.ports.role(call.for_callee));
        REQUIRE(plan);
        CHECK(plan->flow.id == id + 1);
    }
    SECTION("port 0")
    {
        scene.reply({"audio:20.2.0.2:0:sendrecv", 2});
    }
    SECTION("replaced")
    {
        scene.request({"audio:20.1.0.2:5100:sendrecv", 3, "A", "B"});
        CHECK(scene.fast_path.uninstalled.empty());
        scene.reply({b, 3});
    }
    CHECK(scene.fast_path.uninstalled == std::vector<FlowId>{id});
}

TEST_CASE("hold keeps the fast path, and only its timeout counts")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    const FlowId id = scene.talk_and_install(call);
    scene.request({"audio:20.1.0.2:5000:sendonly", 2, "A", "B"});
    scene.reply({"audio:20.2.0.2:6000:recvonly", 2});
    CHECK(scene.run(29s).empty());
    CHECK(scene.fast_path.uninstalled.empty());
    const auto ended = scene.run(1s);
    REQUIRE(ended.size() == 1);
    CHECK(ended[0].report.streams.at(0).status == "on hold timeout");
    CHECK(scene.fast_path.uninstalled == std::vector<FlowId>{id});
}

TEST_CASE("a back end that refuses is asked again after a while")
{
    Scene scene;
    const auto call = scene.call();
    const FlowId id = scene.talk_and_install(call);
    scene.table.abandon_flow(id, scene.reading(id, 0, 0, scene.now.mono),
                             scene.now.mono + Seconds(10), scene.now.mono);
    CHECK(scene.fast_path.uninstalled.empty());
    CHECK_FALSE(scene.rtp(scene.caller, call.for_caller).install_ready);
    scene.advance(10s);
    CHECK(scene.rtp(scene.caller, call.for_caller).install_ready);
    REQUIRE(scene.table.begin_flow(scene.ports.role(call.for_caller)));
    scene.table.abandon_flow(id, scene.reading(id, 9, 9, scene.now.mono),
                             scene.now.mono + Seconds(10), scene.now.mono);
    CHECK(scene.report().streams.at(0).rtp_from_caller.packets == 3);
}

TEST_CASE("a lost flow's totals count")
{
    Scene scene;
    const auto call = scene.call();
    const FlowId id = scene.talk_and_install(call);
    scene.table.abandon_flow(id, scene.reading(id, 40, 30, scene.now.mono),
                             scene.now.mono + Seconds(10), scene.now.mono);
    CHECK(scene.report().streams.at(0).rtp_from_caller.packets == 41);
    CHECK(scene.remove());
    CHECK(scene.fast_path.uninstalled.empty());
}

TEST_CASE("idle is judged from readings")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    const FlowId id = scene.talk_and_install(call);
    std::uint64_t packets = 0;
    const auto read = [&](bool can_tell, std::uint64_t more) {
        packets += more;
        auto reading = scene.reading(id, packets, 1, scene.now.mono);
        if (!can_tell)
            reading.caller_seen_ms = reading.callee_seen_ms = -1;
        scene.fast_path.totals[id] = reading;
        scene.table.on_readings(std::vector{reading}, scene.now.mono);
    };
    for (const bool can_tell : {true, false}) {
        for (int second = 0; second < 20; ++second) {
            CHECK(scene.run(1s).empty());
            read(can_tell, 50);
        }
    }
    SECTION("that show nothing new")
    {
        for (int second = 0; second < 3; ++second) {
            CHECK(scene.run(1s).empty());
            read(false, 0);
        }
        const auto ended = scene.run(1s);
        REQUIRE(ended.size() == 1);
        CHECK(ended[0].report.streams.at(0).status == "conntrack timeout");
    }
    SECTION("and the flow's last totals are asked for before its stream is given up")
    {
        scene.run(3s);
        scene.fast_path.totals[id] = scene.reading(id, packets + 150, 1, scene.now.mono);
        CHECK(scene.run(1s).empty());
        CHECK(scene.fast_path.uninstalled == std::vector<FlowId>{id});
        CHECK(scene.report().streams.at(0).status == "active");
        CHECK(scene.rtp(scene.caller, call.for_caller).install_ready);
    }
}

TEST_CASE("media on the fast path counts as sent after a resume")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    const FlowId id = scene.talk_and_install(call);
    scene.request({"audio:20.1.0.2:5000:sendonly", 2, "A", "B"});
    scene.reply({"audio:20.2.0.2:6000:recvonly", 2});
    scene.run(20s);
    scene.request({a, 3, "A", "B"});
    scene.reply({b, 3});
    for (std::uint64_t second = 1; second < 20; ++second) {
        CHECK(scene.run(1s).empty());
        scene.table.on_readings(
            std::vector{scene.reading(id, 50 * second, 50 * second, scene.now.mono)},
            scene.now.mono);
    }
    CHECK(scene.fast_path.uninstalled.empty());
}

TEST_CASE("a back end's nonsense does no harm")
{
    Scene scene;
    const auto call = scene.call();
    const FlowId id = scene.talk_and_install(call);
    const auto read = [&](std::uint64_t caller) {
        auto reading = scene.reading(id, caller, 0, scene.now.mono + 1000s);
        scene.table.on_readings(std::vector{reading, scene.reading(77, 1, 1, {})}, scene.now.mono);
    };
    read(100);
    read(50);
    CHECK(scene.report().streams.at(0).rtp_from_caller.packets == 101);
    CHECK(scene.session().streams().front()->last_packet() == scene.now.mono);
    scene.table.abandon_flow(77, {}, scene.now.mono + Seconds(10), scene.now.mono);
}

TEST_CASE("the table takes its flows back and gives its ports back when it goes")
{
    fakes::FakePorts ports;
    fakes::FakeFastPath fast_path;
    {
        SessionTable table(Rules{}, ports, fast_path, 5);
        protocol::Update update;
        update.has_media = true;
        update.call_id = "call";
        update.from_tag = "A";
        update.media = *protocol::parse_media(a);
        const Now now{TimePoint(1s), WallTime(1s)};
        const auto offered = table.update(update, 1, now);
        REQUIRE(offered);
        const auto to_callee = ports.role(offered->rtp.at(0));
        const auto to_caller = SocketRole{to_callee.stream, Party::caller, ComponentKind::rtp};
        table.on_packet(to_caller, endpoint("20.1.0.2", 1), rtp_packet(), now.mono);
        table.on_packet(to_callee, endpoint("20.2.0.2", 2), rtp_packet(), now.mono);
        REQUIRE(table.begin_flow(to_caller));
    }
    CHECK(fast_path.uninstalled == std::vector<FlowId>{5});
    CHECK(ports.live() == 0);
}
