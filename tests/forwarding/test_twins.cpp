// SPDX-License-Identifier: GPL-2.0-or-later
// Streams that go on: the io_uring engine reads and sends them by second, connected sockets.
#include <catch2/catch.hpp>

#include <atomic>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <thread>

#include <netinet/in.h>
#include <sys/personality.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "engines.hpp"
#include "plugin_host.hpp"
#include "udp_phone.hpp"

using namespace forwarding_test;

namespace
{

/// How many sockets the kernel has on that port of the loopback address; connected or not.
struct Sockets {
    int all = 0, connected = 0;
};

Sockets sockets_on(const mp_endpoint& local)
{
    std::ifstream table(local.family == 4 ? "/proc/net/udp" : "/proc/net/udp6");
    Sockets found;
    std::string line;
    std::getline(table, line);
    while (std::getline(table, line)) {
        std::string slot, own, remote;
        std::istringstream(line) >> slot >> own >> remote;
        if (std::stoul(own.substr(own.find(':') + 1), nullptr, 16) != local.port)
            continue;
        ++found.all;
        found.connected += remote.substr(remote.find(':') + 1) != "0000" ? 1 : 0;
    }
    return found;
}

/// Linux before 6.13 would close such a socket only when all streams that began earlier have ended.
int connected_sockets_here()
{
    utsname system{};
    uname(&system);
    int version = 0, part = 0;
    char dot = '\0';
    std::istringstream(system.release) >> version >> dot >> part;
    return version > 6 || (version == 6 && part >= 13) ? 1 : 0;
}

/// Talks until both legs have their second sockets; how many packets went each way.
unsigned talk(const Call& call)
{
    constexpr unsigned enough = 20;
    for (unsigned i = 0; i < enough; ++i) {
        call.caller.send(call.relay_caller.endpoint(), "to the callee");
        REQUIRE(call.callee.receive() == "to the callee");
        mp_endpoint from{};
        call.callee.send(call.relay_callee.endpoint(), "to the caller");
        REQUIRE(call.caller.receive(from) == "to the caller");
        REQUIRE(same(from, call.relay_caller.endpoint()));
    }
    REQUIRE(sockets_on(call.relay_caller.endpoint()).connected == connected_sockets_here());
    REQUIRE(sockets_on(call.relay_callee.endpoint()).connected == connected_sockets_here());
    return enough;
}

} // namespace

TEST_CASE("a stream that goes on gets connected sockets, which take no descriptors")
{
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const Call call(family, family);
    PluginHost host(PLUGIN_PATH, engine("io_uring"));
    const std::size_t before = open_descriptors();
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    const unsigned sent = talk(call);
    CHECK(open_descriptors() == before);

    const mp_flow_reading finals = host.remove(1);
    CHECK(finals.from_caller.packets == sent);
    CHECK(finals.from_callee.packets == sent);
    CHECK(sockets_on(call.relay_caller.endpoint()).all == 1);
    call.caller.send(call.relay_caller.endpoint(), "to the host");
    CHECK(call.relay_caller.receive() == "to the host");
}

TEST_CASE("one who only listens gets a connected socket too")
{
    const Call call;
    PluginHost host(PLUGIN_PATH, engine("io_uring"));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    for (int i = 0; i < 20; ++i) {
        call.caller.send(call.relay_caller.endpoint(), "music");
        REQUIRE(call.callee.receive() == "music");
    }
    CHECK(sockets_on(call.relay_callee.endpoint()).connected == connected_sockets_here());
}

TEST_CASE("a kernel that would keep them open for other streams' sake gets none")
{
    CHECK(in_a_process([] {
        personality(UNAME26); // Linux calls itself 2.6 then
        const Call call;
        PluginHost host(PLUGIN_PATH, engine("io_uring"));
        if (host.install(call.flow(1)) != MP_OK)
            return false;
        for (int i = 0; i < 20; ++i) {
            call.caller.send(call.relay_caller.endpoint(), "to the callee");
            if (call.callee.receive() != "to the callee")
                return false;
        }
        return sockets_on(call.relay_caller.endpoint()).all == 1;
    }));
}

TEST_CASE("a stranger at a port with a connected socket reaches the host all the same")
{
    const Call call;
    const UdpPhone stranger;
    PluginHost host(PLUGIN_PATH, engine("io_uring"));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    const unsigned sent = talk(call);
    stranger.send(call.relay_caller.endpoint(), "who is there");
    REQUIRE(host.await_strays(1));
    CHECK(same(host.strays().front().from, stranger.endpoint()));
    call.caller.send(call.relay_caller.endpoint(), "mine");
    CHECK(call.callee.receive() == "mine");
    CHECK(host.remove(1).from_caller.packets == sent + 1);
}

TEST_CASE("nobody else gets a share of a port that has two sockets")
{
    const Call call;
    PluginHost host(PLUGIN_PATH, engine("io_uring"));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    talk(call);
    sockaddr_in place{};
    place.sin_family = AF_INET;
    place.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    place.sin_port = htons(call.relay_caller.endpoint().port);
    const int greedy = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(greedy, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    CHECK(bind(greedy, reinterpret_cast<const sockaddr*>(&place), sizeof place) == -1);
    CHECK(errno == EADDRINUSE);
    close(greedy);
}

TEST_CASE("a party that moves takes its connected socket with it")
{
    Call call;
    const UdpPhone elsewhere;
    PluginHost host(PLUGIN_PATH, engine("io_uring"));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    const unsigned sent = talk(call);
    mp_flow moved = call.flow(1);
    moved.caller_remote = elsewhere.endpoint();
    mp_flow_reading until_now{};
    REQUIRE(host.replace(moved, until_now) == MP_OK);
    CHECK(until_now.from_caller.packets == sent);

    for (int i = 0; i < 64; ++i) {
        elsewhere.send(call.relay_caller.endpoint(), "from elsewhere");
        REQUIRE(call.callee.receive() == "from elsewhere");
        call.callee.send(call.relay_callee.endpoint(), "to elsewhere");
        REQUIRE(elsewhere.receive() == "to elsewhere");
    }
    CHECK(sockets_on(call.relay_caller.endpoint()).connected == connected_sockets_here());
    call.caller.send(call.relay_caller.endpoint(), "from the old place");
    REQUIRE(host.await_strays(1));
    CHECK(same(host.strays().front().from, call.caller.endpoint()));
    CHECK(host.remove(1).from_caller.packets == sent + 64);
}

TEST_CASE("a phone that is away for a while is heard when it is back")
{
    const Call call;
    PluginHost host(PLUGIN_PATH, engine("io_uring"));
    mp_endpoint place{};
    {
        const UdpPhone phone;
        place = phone.endpoint();
        mp_flow flow = call.flow(1);
        flow.callee_remote = place;
        REQUIRE(host.install(flow) == MP_OK);
        for (int i = 0; i < 20; ++i) {
            call.caller.send(call.relay_caller.endpoint(), "hello");
            REQUIRE(phone.receive() == "hello");
        }
    }
    // The kernel tells the connected socket that nobody is there.
    for (int i = 0; i < 20; ++i)
        call.caller.send(call.relay_caller.endpoint(), "into the void");
    const UdpPhone back(place);
    while (!back.receive(20))
        call.caller.send(call.relay_caller.endpoint(), "hello again");
    back.send(call.relay_callee.endpoint(), "here I am");
    CHECK(call.caller.receive() == "here I am");
}

TEST_CASE("each packet around the end of a connected socket is forwarded once or left to the host")
{
    const Call call;
    // Leaving bursts with joined datagrams closes a flooded socket for a moment: not the matter
    // here.
    PluginHost host(PLUGIN_PATH, engine("io_uring", {{"gso", "off"}}));
    for (mp_flow_id id = 1; id <= 50; ++id) {
        REQUIRE(host.install(call.flow(id)) == MP_OK);
        const unsigned before = talk(call);
        std::atomic<bool> stop{false};
        std::uint64_t sent = 0;
        std::thread sender([&] {
            while (!stop && sent < 2000) {
                call.caller.send(call.relay_caller.endpoint(), "x");
                ++sent;
            }
        });
        REQUIRE(call.callee.receive() == "x");
        const std::uint64_t counted = host.remove(id).from_caller.packets - before;
        stop = true;
        sender.join();
        std::uint64_t forwarded = 1, left = 0;
        while (call.callee.receive(0))
            ++forwarded;
        while (call.relay_caller.receive(0))
            ++left;
        CHECK(forwarded == counted);
        REQUIRE(counted + left == sent);
    }
}
