// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "plugin_host.hpp"
#include "udp_phone.hpp"

using namespace forwarding_test;

namespace
{

constexpr std::uint64_t ipv4_headers = 28;
constexpr std::uint64_t ipv6_headers = 48;

SettingList engine(const std::string& name)
{
    return {{"engine", name}, {"threads", "1"}};
}

} // namespace

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
}
