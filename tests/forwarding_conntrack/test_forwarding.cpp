// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "lab.hpp"

using namespace conntrack_test;

TEST_CASE("packets go through the kernel in both directions, counted as whole IP packets")
{
    const Lab lab;
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const std::uint64_t headers = family == Family::ipv4 ? ipv4_headers : ipv6_headers;
    const LabCall call(lab, family);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);

    mp_endpoint from{};
    for (int i = 0; i < 5; ++i) {
        call.caller.send(call.relay_caller.endpoint(), "hello");
        REQUIRE(call.callee.receive(from) == "hello");
        CHECK(same(from, call.relay_callee.endpoint()));
    }
    call.callee.send(call.relay_callee.endpoint(), "who is there?");
    REQUIRE(call.caller.receive(from) == "who is there?");
    CHECK(same(from, call.relay_caller.endpoint()));
    CHECK(!call.relay_caller.receive(0));
    CHECK(!call.relay_callee.receive(0));

    const mp_flow_reading reading = host.read().at(1);
    CHECK(reading.from_caller.packets == 5);
    CHECK(reading.from_caller.bytes == 5 * (5 + headers));
    CHECK(reading.from_callee.packets == 1);
    CHECK(reading.from_callee.bytes == 13 + headers);
    CHECK(reading.caller_seen_ms == -1);

    const mp_flow_reading finals = host.remove(1);
    CHECK(finals.from_caller.packets == 5);
    call.caller.send(call.relay_caller.endpoint(), "to the host");
    CHECK(call.relay_caller.receive() == "to the host");
}

TEST_CASE("a call that talked on the slow path before is taken over")
{
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    // Every tuple that can be tracked is, by connection tracking that we armed ourselves.
    call.caller.send(call.relay_caller.endpoint(), "1");
    call.callee.send(call.relay_callee.endpoint(), "2");
    call.relay_caller.send(call.caller.endpoint(), "3");
    call.relay_callee.send(call.callee.endpoint(), "4");
    REQUIRE(call.relay_caller.receive() == "1");
    REQUIRE(call.relay_callee.receive() == "2");
    REQUIRE(call.caller.receive() == "3");
    REQUIRE(call.callee.receive() == "4");
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "5");
    CHECK(call.callee.receive() == "5");
    mp_endpoint from{};
    call.relay_callee.send(call.callee.endpoint(), "from the daemon");
    CHECK(call.callee.receive(from) == "from the daemon");
    CHECK(same(from, call.relay_callee.endpoint()));
}

TEST_CASE("a stranger's packet reaches the daemon, not the other phone, and does no harm")
{
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    const UdpPhone stranger = lab.phone("10.91.1.3");
    mp_endpoint from{};
    stranger.send(call.relay_caller.endpoint(), "let me in");
    CHECK(call.relay_caller.receive(from) == "let me in");
    CHECK(same(from, stranger.endpoint()));
    CHECK(host.read().at(1).from_caller.packets == 0);

    // The daemon finds that the caller moved there: the stranger's own entry is in the way.
    mp_flow moved = call.flow(1);
    moved.caller_remote = stranger.endpoint();
    mp_flow_reading until_now{};
    REQUIRE(host.replace(moved, until_now) == MP_OK);
    stranger.send(call.relay_caller.endpoint(), "it is me");
    CHECK(call.callee.receive() == "it is me");
    call.callee.send(call.relay_callee.endpoint(), "hello");
    CHECK(stranger.receive() == "hello");
    CHECK(host.read().at(1).from_caller.packets == 1);
    CHECK(host.read().at(1).from_callee.packets == 1);
}

TEST_CASE("replace keeps the counters")
{
    const Lab lab;
    const LabCall call(lab);
    const UdpPhone elsewhere = lab.phone("10.91.2.2");
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "one");
    REQUIRE(call.callee.receive() == "one");
    mp_flow moved = call.flow(1);
    moved.callee_remote = elsewhere.endpoint();
    mp_flow_reading until_now{};
    REQUIRE(host.replace(moved, until_now) == MP_OK);
    CHECK(until_now.from_caller.packets == 1);
    call.caller.send(call.relay_caller.endpoint(), "two");
    REQUIRE(elsewhere.receive() == "two");
    CHECK(host.remove(1).from_caller.packets == 2);
    CHECK(host.replace(moved, until_now) == MP_E_INVALID);
}

TEST_CASE("removing what is not there fails, and what is there is removed all the same")
{
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    std::vector<mp_flow_reading> finals;
    CHECK(host.remove({9, 1, 1}, finals) == MP_E_INVALID);
    CHECK(finals[0].id == 9);
    CHECK(host.read().empty());
    CHECK(host.install(call.flow(1)) == MP_OK);
}

TEST_CASE("a thousand flows in one burst, read and removed")
{
    const Lab lab;
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    std::vector<mp_flow> flows;
    const LabCall call(lab);
    for (std::uint16_t i = 0; i < 1000; ++i) {
        mp_flow flow = call.flow(i + 1);
        flow.caller_local.port = static_cast<std::uint16_t>(2000 + 2 * i);
        flow.callee_local.port = static_cast<std::uint16_t>(2001 + 2 * i);
        flows.push_back(flow);
    }
    flows[500] = call.flow(501); // the one that talks
    CHECK(host.install(flows) == std::vector<mp_status>(1000, MP_OK));
    call.caller.send(call.relay_caller.endpoint(), "among many");
    REQUIRE(call.callee.receive() == "among many");
    const auto readings = host.read();
    CHECK(readings.size() == 1000);
    CHECK(readings.at(501).from_caller.packets == 1);
    CHECK(readings.at(1).from_caller.packets == 0);
    std::vector<mp_flow_id> ids;
    for (const mp_flow& flow : flows)
        ids.push_back(flow.id);
    std::vector<mp_flow_reading> finals;
    CHECK(host.remove(ids, finals) == MP_OK);
    CHECK(finals[500].from_caller.packets == 1);
    CHECK(Lab::ask("conntrack -L -w 19792 2>/dev/null").empty());
}
