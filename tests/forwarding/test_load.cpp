// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

#include "engines.hpp"
#include "plugin_host.hpp"
#include "udp_phone.hpp"

using namespace forwarding_test;

namespace
{

constexpr unsigned segment = 172;
constexpr unsigned segments = 40;

bool gro_on(const UdpPhone& relay_socket)
{
    int value = 0;
    socklen_t size = sizeof value;
    getsockopt(relay_socket.fd(), IPPROTO_UDP, UDP_GRO, &value, &size);
    return value != 0;
}

/// Datagrams that can be told apart, back to back.
std::string numbered(unsigned first)
{
    std::string data;
    for (unsigned i = 0; i < segments; ++i) {
        std::string one(segment, '.');
        one.replace(0, 8, std::to_string(10000000 + first + i));
        data += one;
    }
    return data;
}

/// Sends bursts, each checked on the other side, until `enough` or a few seconds have passed.
template <typename Enough>
unsigned send_bursts(const Call& call, unsigned first, Enough&& enough)
{
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    unsigned sent = first;
    while (!enough(sent) && std::chrono::steady_clock::now() < deadline) {
        const std::string data = numbered(sent);
        call.caller.send_joined(call.relay_caller.endpoint(), data, segment);
        for (unsigned i = 0; i < segments; ++i)
            REQUIRE(call.callee.receive().value_or("nothing") == data.substr(i * segment, segment));
        sent += segments;
    }
    REQUIRE(enough(sent));
    return sent;
}

} // namespace

TEST_CASE("a fat stream is joined, and every datagram arrives whole and in order")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    PluginHost host(PLUGIN_PATH, engine(name));
    REQUIRE(host.install(call.flow(1)) == MP_OK);

    unsigned sent = send_bursts(call, 0, [&](unsigned) { return gro_on(call.relay_caller); });
    const unsigned fat_from = sent;
    sent = send_bursts(call, sent, [&](unsigned now) { return now >= fat_from + 4000; });
    CHECK_FALSE(gro_on(call.relay_callee));

    // A short tail, single packets and a stranger among them.
    call.caller.send_joined(call.relay_caller.endpoint(), std::string(3 * segment + 9, 't'),
                            segment);
    for (int i = 0; i < 3; ++i)
        CHECK(call.callee.receive() == std::string(segment, 't'));
    CHECK(call.callee.receive() == std::string(9, 't'));
    call.caller.send(call.relay_caller.endpoint(), "");
    CHECK(call.callee.receive() == "");
    const UdpPhone stranger;
    stranger.send_joined(call.relay_caller.endpoint(), std::string(2 * segment, 's'), segment);
    REQUIRE(host.await_strays(2));
    CHECK(host.strays()[0].data == std::string(segment, 's'));
    CHECK(host.strays()[1].data == std::string(segment, 's'));

    const auto reading = host.read().at(1);
    CHECK(reading.from_caller.packets == sent + 5);
    CHECK(reading.from_caller.bytes ==
          (sent + 3) * (segment + ipv4_headers) + 9 + 2 * ipv4_headers);
    CHECK(host.remove(1).from_caller.packets == sent + 5);
}

TEST_CASE("after remove a fat leg gives plain datagrams, whatever was under way")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    PluginHost host(PLUGIN_PATH, engine(name));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    unsigned sent = send_bursts(call, 0, [&](unsigned) { return gro_on(call.relay_caller); });

    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> more{0};
    std::thread sender([&] {
        while (!stop) {
            call.caller.send_joined(call.relay_caller.endpoint(), numbered(0), segment);
            more += segments;
            std::this_thread::yield();
        }
    });
    while (more < 20 * segments)
        std::this_thread::yield();
    const auto counted = host.remove(1).from_caller.packets;
    stop = true;
    sender.join();

    CHECK_FALSE(gro_on(call.relay_caller));
    std::uint64_t forwarded = 0;
    while (const auto packet = call.callee.receive(0)) {
        REQUIRE(packet->size() == segment);
        ++forwarded;
    }
    std::uint64_t left = 0;
    while (const auto packet = call.relay_caller.receive(0)) {
        REQUIRE(packet->size() == segment);
        ++left;
    }
    CHECK(counted >= sent + forwarded); // the phone's own queue may have run over
    CHECK(counted + left <= sent + more);
}

TEST_CASE("a leg that is no longer fat gets plain datagrams again")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    PluginHost host(PLUGIN_PATH, engine(name));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    send_bursts(call, 0, [&](unsigned) { return gro_on(call.relay_caller); });
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (gro_on(call.relay_caller) && std::chrono::steady_clock::now() < deadline) {
        call.caller.send(call.relay_caller.endpoint(), "slow");
        REQUIRE(call.callee.receive() == "slow");
        std::this_thread::sleep_for(std::chrono::milliseconds(10)); // the rate is what is tested
    }
    CHECK_FALSE(gro_on(call.relay_caller));
    call.caller.send(call.relay_caller.endpoint(), "still through");
    CHECK(call.callee.receive() == "still through");
}

TEST_CASE("gso = off never joins datagrams")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    PluginHost host(PLUGIN_PATH, engine(name, {{"gso", "off"}}));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(700);
    const unsigned sent = send_bursts(call, 0, [&](unsigned) {
        CHECK_FALSE(gro_on(call.relay_caller));
        return std::chrono::steady_clock::now() > until;
    });
    CHECK(host.remove(1).from_caller.packets == sent);
}

TEST_CASE("datagrams larger than an Ethernet frame pass")
{
    const std::string name = GENERATE("io_uring", "epoll");
    const std::string gso = GENERATE("auto", "off");
    CAPTURE(name, gso);
    const Call call;
    PluginHost host(PLUGIN_PATH, engine(name, {{"gso", gso}}));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    // The first tells the engine what room to give; it may be lost.
    call.caller.send(call.relay_caller.endpoint(), std::string(9000, 'f'));
    call.callee.receive(200);
    for (const std::size_t size : {9000, 60000, 100, 65507}) {
        call.caller.send(call.relay_caller.endpoint(), std::string(size, 'l'));
        CHECK(call.callee.receive() == std::string(size, 'l'));
    }
}

TEST_CASE("a flood on one socket does not starve another flow")
{
    const std::string name = GENERATE("io_uring", "epoll");
    const std::string gso = GENERATE("auto", "off");
    const bool by_stranger = GENERATE(true, false);
    CAPTURE(name, gso, by_stranger);
    const Call flooded;
    const Call quiet;
    const UdpPhone stranger;
    PluginHost host(PLUGIN_PATH, engine(name, {{"gso", gso}}));
    REQUIRE(host.install(flooded.flow(1)) == MP_OK);
    REQUIRE(host.install(quiet.flow(2)) == MP_OK);

    std::atomic<bool> stop{false};
    std::atomic<unsigned> floods{0};
    std::thread flood([&] {
        const UdpPhone& source = by_stranger ? stranger : flooded.caller;
        while (!stop) {
            source.send(flooded.relay_caller.endpoint(), std::string(segment, 'f'));
            ++floods;
        }
    });
    while (floods < 1000)
        std::this_thread::yield();
    for (int i = 0; i < 100; ++i) {
        const std::string data = std::to_string(i);
        quiet.caller.send(quiet.relay_caller.endpoint(), data);
        CHECK(quiet.callee.receive(2000) == data);
    }
    CHECK(host.remove(2).from_caller.packets == 100);
    stop = true;
    flood.join();

    // And the flooded one has not been given up.
    while (flooded.callee.receive(50))
        ;
    flooded.callee.send(flooded.relay_callee.endpoint(), "back");
    CHECK(flooded.caller.receive() == "back");
    flooded.caller.send(flooded.relay_caller.endpoint(), "last");
    CHECK(flooded.callee.receive() == "last");
}

TEST_CASE("ICMP errors neither end a flow nor stop its reading")
{
    const std::string name = GENERATE("io_uring", "epoll");
    const bool reported = GENERATE(false, true);
    CAPTURE(name, reported);
    std::optional<Call> call(std::in_place);
    const int on = reported ? 1 : 0;
    setsockopt(call->relay_callee.fd(), IPPROTO_IP, IP_RECVERR, &on, sizeof on);
    PluginHost host(PLUGIN_PATH, engine(name));
    mp_flow flow = call->flow(1);
    {
        const UdpPhone gone;
        flow.callee_remote = gone.endpoint();
    }
    REQUIRE(host.install(flow) == MP_OK);
    for (int i = 0; i < 200; ++i)
        call->caller.send(call->relay_caller.endpoint(), "to nobody");

    mp_flow_reading until_now{};
    REQUIRE(host.replace(call->flow(1), until_now) == MP_OK);
    // An error under way may cost one packet, as in any program.
    std::optional<std::string> heard;
    for (int i = 0; i < 20 && !heard; ++i) {
        call->caller.send(call->relay_caller.endpoint(), "hello");
        heard = call->callee.receive(200);
    }
    CHECK(heard.has_value());
    call->callee.send(call->relay_callee.endpoint(), "answer");
    CHECK(call->caller.receive() == "answer");
    CHECK(host.lost().empty());
}

TEST_CASE("flows come and go while others carry packets, and none is lost or counted twice")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call steady;
    std::vector<Call> others(20);
    PluginHost host(PLUGIN_PATH, engine(name));
    REQUIRE(host.install(steady.flow(1)) == MP_OK);
    std::atomic<bool> stop{false};
    std::uint64_t sent = 0;
    std::thread sender([&] {
        while (!stop) {
            steady.caller.send(steady.relay_caller.endpoint(), "tick");
            ++sent;
            if (!steady.callee.receive())
                return;
        }
    });
    mp_flow_id next = 2;
    for (int round = 0; round < 50; ++round) {
        std::vector<mp_flow_id> ids;
        for (const Call& call : others) {
            ids.push_back(next);
            REQUIRE(host.install(call.flow(next++)) == MP_OK);
            call.caller.send(call.relay_caller.endpoint(), "x");
        }
        for (const Call& call : others)
            REQUIRE(call.callee.receive() == "x");
        std::vector<mp_flow_reading> finals;
        REQUIRE(host.remove(ids, finals) == MP_OK);
        for (const auto& reading : finals)
            CHECK(reading.from_caller.packets == 1);
    }
    stop = true;
    sender.join();
    CHECK(sent > 0);
    CHECK(host.remove(1).from_caller.packets == sent);
}

TEST_CASE("no datagram of a burst is lost while its stream becomes fat")
{
    // Only io_uring gives the packets over from one socket to another then.
    PluginHost host(PLUGIN_PATH, engine("io_uring"));
    // Long ones take the kernel long enough to cut up that they are read while others still come.
    constexpr std::size_t size = 1400;
    std::string data;
    for (char each = 'A'; each < 'A' + 45; ++each)
        data += std::string(size, each);
    for (mp_flow_id id = 1; id <= 10; ++id) {
        const Call call;
        REQUIRE(host.install(call.flow(id)) == MP_OK);
        const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        std::uint64_t sent = 0;
        for (int fat_bursts = 0; fat_bursts < 3; fat_bursts += gro_on(call.relay_caller) ? 1 : 0) {
            REQUIRE(std::chrono::steady_clock::now() < deadline);
            call.caller.send_joined(call.relay_caller.endpoint(), data, size);
            for (std::size_t at = 0; at < data.size(); at += size, ++sent)
                REQUIRE(call.callee.receive().value_or("nothing") == data.substr(at, size));
        }
        CHECK(host.remove(id).from_caller.packets == sent);
    }
}
