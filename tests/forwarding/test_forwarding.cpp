// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <netinet/in.h>
#include <netinet/ip.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engines.hpp"
#include "plugin_host.hpp"
#include "udp_phone.hpp"

using namespace forwarding_test;

TEST_CASE("a flow forwards both ways and counts whole IP packets")
{
    const std::string name = GENERATE("io_uring", "epoll");
    const auto [caller_family, callee_family] = GENERATE(table<Family, Family>({
        {Family::ipv4, Family::ipv4},
        {Family::ipv6, Family::ipv6},
        {Family::ipv4, Family::ipv6},
    }));
    CAPTURE(name);
    const Call call(caller_family, callee_family);
    PluginHost host(PLUGIN_PATH, engine(name));
    REQUIRE(host.install(call.flow(7)) == MP_OK);

    for (int i = 0; i < 5; ++i) {
        call.caller.send(call.relay_caller.endpoint(), std::string(160, 'a'));
        mp_endpoint from{};
        REQUIRE(call.callee.receive(from) == std::string(160, 'a'));
        CHECK(same(from, call.relay_callee.endpoint()));
    }
    for (const std::size_t size : {1, 0, 1400}) {
        call.callee.send(call.relay_callee.endpoint(), std::string(size, 'b'));
        mp_endpoint from{};
        REQUIRE(call.caller.receive(from) == std::string(size, 'b'));
        CHECK(same(from, call.relay_caller.endpoint()));
    }

    const auto caller_headers = caller_family == Family::ipv4 ? ipv4_headers : ipv6_headers;
    const auto callee_headers = callee_family == Family::ipv4 ? ipv4_headers : ipv6_headers;
    const auto check = [&](const mp_flow_reading& reading) {
        CHECK(reading.id == 7);
        CHECK(reading.from_caller.packets == 5);
        CHECK(reading.from_caller.bytes == 5 * (160 + caller_headers));
        CHECK(reading.from_callee.packets == 3);
        CHECK(reading.from_callee.bytes == 1401 + 3 * callee_headers);
        CHECK(reading.caller_seen_ms > 0);
        CHECK(reading.callee_seen_ms >= reading.caller_seen_ms);
    };
    const auto readings = host.read();
    REQUIRE(readings.size() == 1);
    check(readings.at(7));
    check(host.remove(7));
    CHECK(host.read().empty());
    CHECK(host.strays().empty());
}

TEST_CASE("a stranger's packet goes to the host, not to the other side")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    const UdpPhone stranger;
    PluginHost host(PLUGIN_PATH, engine(name));
    REQUIRE(host.install(call.flow(1)) == MP_OK);

    stranger.send(call.relay_callee.endpoint(), "who is there");
    REQUIRE(host.await_strays(1));
    const Stray stray = host.strays().front();
    CHECK(stray.flow == 1);
    CHECK(stray.side == MP_SIDE_CALLEE);
    CHECK(stray.data == "who is there");
    CHECK(same(stray.from, stranger.endpoint()));

    call.callee.send(call.relay_callee.endpoint(), "mine");
    CHECK(call.caller.receive() == "mine");
    const auto finals = host.remove(1);
    CHECK(finals.from_callee.packets == 1);
    CHECK(finals.from_caller.packets == 0);
    CHECK(finals.caller_seen_ms == -1);
}

TEST_CASE("replace moves a party, keeps the counters and tells them")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    const UdpPhone moved;
    PluginHost host(PLUGIN_PATH, engine(name));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "before");
    REQUIRE(call.callee.receive() == "before");

    mp_flow flow = call.flow(1);
    flow.caller_remote = moved.endpoint();
    mp_flow_reading until_now{};
    REQUIRE(host.replace(flow, until_now) == MP_OK);
    CHECK(until_now.from_caller.packets == 1);

    moved.send(call.relay_caller.endpoint(), "after");
    CHECK(call.callee.receive() == "after");
    call.callee.send(call.relay_callee.endpoint(), "to the new place");
    CHECK(moved.receive() == "to the new place");
    call.caller.send(call.relay_caller.endpoint(), "from the old place");
    REQUIRE(host.await_strays(1));
    CHECK(host.remove(1).from_caller.packets == 2);
    CHECK(host.replace(flow, until_now) == MP_E_INVALID);
}

TEST_CASE("replace may bring other sockets")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    const Call fresh;
    PluginHost host(PLUGIN_PATH, engine(name));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    mp_flow_reading until_now{};
    REQUIRE(host.replace(fresh.flow(1), until_now) == MP_OK);

    fresh.caller.send(fresh.relay_caller.endpoint(), "new socket");
    CHECK(fresh.callee.receive() == "new socket");
    call.caller.send(call.relay_caller.endpoint(), "old socket");
    CHECK(call.relay_caller.receive() == "old socket");
    CHECK(host.remove(1).from_caller.packets == 1);
}

TEST_CASE("the DSCP of a flow is on its packets")
{
    const std::string name = GENERATE("io_uring", "epoll");
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const Call call(family, family);
    PluginHost host(PLUGIN_PATH, engine(name));
    mp_flow flow = call.flow(1);
    flow.dscp = 46;
    REQUIRE(host.install(flow) == MP_OK);

    int value = 0;
    socklen_t size = sizeof value;
    const bool v4 = family == Family::ipv4;
    getsockopt(call.relay_callee.fd(), v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TOS : IPV6_TCLASS,
               &value, &size);
    CHECK(value == 46 << 2);
}

TEST_CASE("a packet mark is set, or refused where the privilege is missing")
{
    const Call call;
    PluginHost host(PLUGIN_PATH, engine("epoll"));
    mp_flow flow = call.flow(1);
    flow.mark = 77;
    std::string message;
    const mp_status status = host.install(flow, &message);
    if (status == MP_E_DENIED) {
        CHECK(message == "flow 1: the packet mark: Operation not permitted");
        return;
    }
    REQUIRE(status == MP_OK);
    std::uint32_t mark = 0;
    socklen_t size = sizeof mark;
    getsockopt(call.relay_caller.fd(), SOL_SOCKET, SO_MARK, &mark, &size);
    CHECK(mark == 77);
}

TEST_CASE("one read tells all flows of all threads")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    std::vector<Call> calls(400); // more than one piece of answer for each thread
    PluginHost host(PLUGIN_PATH, {{"engine", name}, {"threads", "3"}});
    std::vector<mp_flow_id> ids;
    for (std::size_t i = 0; i < calls.size(); ++i) {
        ids.push_back(i * 1000 + i);
        REQUIRE(host.install(calls[i].flow(ids[i])) == MP_OK);
        calls[i].caller.send(calls[i].relay_caller.endpoint(), std::to_string(i));
    }
    for (std::size_t i = 0; i < calls.size(); ++i)
        REQUIRE(calls[i].callee.receive() == std::to_string(i));

    const auto readings = host.read();
    REQUIRE(readings.size() == calls.size());
    std::vector<mp_flow_reading> finals;
    REQUIRE(host.remove(ids, finals) == MP_OK);
    for (std::size_t i = 0; i < ids.size(); ++i) {
        CHECK(readings.at(ids[i]).from_caller.packets == 1);
        CHECK(finals[i].id == ids[i]);
        CHECK(finals[i].from_caller.packets == 1);
    }
    CHECK(host.read().empty());
}
