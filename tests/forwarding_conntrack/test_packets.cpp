// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <netinet/in.h>
#include <sys/socket.h>

#include "lab.hpp"

using namespace conntrack_test;

namespace
{

void set(const UdpPhone& phone, int level, int option, int value)
{
    REQUIRE(setsockopt(phone.fd(), level, option, &value, sizeof value) == 0);
}

std::uint64_t redirects_seen(const Lab& lab)
{
    return std::stoull(lab.ask_phones("nstat -asz IcmpInRedirects | awk '/Redirects/ {print $2}'"));
}

} // namespace

TEST_CASE("datagrams of every size pass, fragmented where they must be")
{
    const Lab lab;
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const std::size_t size = GENERATE(0, 1, 172, 1400, 9000);
    CAPTURE(size);
    const LabCall call(lab, family);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    const std::string data(size, 'x');
    call.caller.send(call.relay_caller.endpoint(), data);
    CHECK(call.callee.receive() == data);
    call.callee.send(call.relay_callee.endpoint(), data);
    CHECK(call.caller.receive() == data);
    CHECK(host.read().at(1).from_caller.packets == 1);
    CHECK(!call.relay_caller.receive(0));
}

TEST_CASE("a packet on its last hop takes the slow path, as it cannot be forwarded")
{
    const Lab lab;
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const LabCall call(lab, family);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    const bool v4 = family == Family::ipv4;
    const auto hops = [&](int value) {
        set(call.caller, v4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6},
            v4 ? int{IP_TTL} : int{IPV6_UNICAST_HOPS}, value);
    };
    hops(1);
    call.caller.send(call.relay_caller.endpoint(), "last hop");
    CHECK(call.relay_caller.receive() == "last hop");
    hops(2);
    call.caller.send(call.relay_caller.endpoint(), "one more");
    CHECK(call.callee.receive() == "one more");
}

TEST_CASE("IP options and a missing checksum do no harm")
{
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    set(call.caller, SOL_SOCKET, SO_NO_CHECK, 1);
    call.caller.send(call.relay_caller.endpoint(), "unchecked");
    CHECK(call.callee.receive() == "unchecked");
    const char nothing[] = {1, 1, 1, 0};
    REQUIRE(setsockopt(call.caller.fd(), IPPROTO_IP, IP_OPTIONS, nothing, sizeof nothing) == 0);
    call.caller.send(call.relay_caller.endpoint(), "with options");
    CHECK(call.callee.receive() == "with options");
    CHECK(host.read().at(1).from_caller.packets == 2);
}

TEST_CASE("checksums are right when no device offloads them")
{
    const Lab lab;
    Lab::relay("ethtool -K va tx off rx off && ethtool -K vb tx off rx off");
    lab.phones("ethtool -K pva tx off rx off && ethtool -K pvb tx off rx off");
    const LabCall call(lab, GENERATE(Family::ipv4, Family::ipv6));
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "hello");
    CHECK(call.callee.receive() == "hello");
    call.callee.send(call.relay_callee.endpoint(), "hello yourself");
    CHECK(call.caller.receive() == "hello yourself");
}

TEST_CASE("two phones behind one device are not told to bypass the relay")
{
    const Lab lab;
    const LabCall call = LabCall::behind_one_device(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    for (int i = 0; i < 3; ++i) {
        call.caller.send(call.relay_caller.endpoint(), "hello");
        REQUIRE(call.callee.receive() == "hello");
        call.callee.send(call.relay_callee.endpoint(), "hello");
        REQUIRE(call.caller.receive() == "hello");
    }
    CHECK(redirects_seen(lab) == 0);
    // The control: without our rule they are.
    Lab::relay("nft flush chain inet mediaproxyd_test answers");
    for (int i = 0; i < 3; ++i) {
        call.caller.send(call.relay_caller.endpoint(), "hello");
        REQUIRE(call.callee.receive() == "hello");
    }
    CHECK(redirects_seen(lab) > 0);
}
