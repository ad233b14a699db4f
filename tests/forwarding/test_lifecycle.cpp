// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <array>
#include <cstring>
#include <optional>

#include <unistd.h>

#include "engines.hpp"
#include "plugin_host.hpp"
#include "udp_phone.hpp"

using namespace forwarding_test;

TEST_CASE("the plugin says who it is")
{
    PluginHost host(PLUGIN_PATH, {});
    CHECK(std::string(host.plugin().name) == "userspace");
    CHECK(host.plugin().abi == MP_ABI_VERSION);
    CHECK(host.plugin().struct_size == sizeof(mp_plugin));
    CHECK(host.plugin().get_interface("mp.forwarding/2") == nullptr);
    CHECK(host.flags() == MP_FORWARDING_READS_SOCKETS);
    const auto* keys = host.plugin().setting_keys;
    CHECK(std::string(keys[0]) == "threads");
    CHECK(std::string(keys[1]) == "engine");
    CHECK(std::string(keys[2]) == "gso");
    CHECK(keys[3] == nullptr);
}

TEST_CASE("a wrong setting is refused with a sentence that names it")
{
    const auto [key, value, message] = GENERATE(table<const char*, const char*, const char*>({
        {"threads", "0", "threads = \"0\": it must be a number from 1 to 64"},
        {"threads", "65", "threads = \"65\": it must be a number from 1 to 64"},
        {"threads", "two", "threads = \"two\": it must be a number from 1 to 64"},
        {"threads", "2x", "threads = \"2x\": it must be a number from 1 to 64"},
        {"threads", "", "threads = \"\": it must be a number from 1 to 64"},
        {"engine", "kqueue", "engine = \"kqueue\": it must be \"auto\", \"io_uring\" or \"epoll\""},
        {"gso", "on", "gso = \"on\": it must be \"auto\" or \"off\""},
        {"speed", "9", "speed = \"9\": it must be left out: there is no such setting"},
    }));
    try {
        PluginHost host(PLUGIN_PATH, {{key, value}});
        FAIL("accepted");
    } catch (const Refused& refused) {
        CHECK(refused.status == MP_E_INVALID);
        CHECK(std::string(refused.what()) == message);
    }
}

TEST_CASE("a flow that cannot be is refused alone")
{
    const Call call;
    PluginHost host(PLUGIN_PATH, engine("io_uring"));
    const auto refused = [&](mp_flow flow) {
        std::string message;
        const mp_status status = host.install(flow, &message);
        CHECK(message.substr(0, 8) == "flow 1: ");
        return status == MP_E_INVALID;
    };
    mp_flow flow = call.flow(1);
    flow.callee_fd = -1;
    CHECK(refused(flow));
    flow = call.flow(1);
    flow.caller_remote.family = 0;
    CHECK(refused(flow));
    flow = call.flow(1);
    flow.callee_remote.family = 6;
    CHECK(refused(flow));
    flow = call.flow(1);
    flow.caller_remote.port = 0;
    CHECK(refused(flow));

    REQUIRE(host.install(call.flow(1)) == MP_OK);
    CHECK(refused(call.flow(1)));
    call.caller.send(call.relay_caller.endpoint(), "still here");
    CHECK(call.callee.receive() == "still here");
}

TEST_CASE("a flow whose descriptor is no socket is reported as lost and can be removed")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    PluginHost host(PLUGIN_PATH, engine(name));
    mp_flow flow = call.flow(5);
    flow.callee_fd = 10000; // not open
    REQUIRE(host.install(flow) == MP_OK);
    REQUIRE(host.await_lost(1));
    CHECK(host.lost() == std::vector<mp_flow_id>{5});
    CHECK(host.remove(5).from_caller.packets == 0);
    REQUIRE(host.install(call.flow(6)) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "hello");
    CHECK(call.callee.receive() == "hello");
}

TEST_CASE("nothing is adopted, because nothing outlives the process")
{
    const Call call;
    PluginHost host(PLUGIN_PATH, engine("epoll"));
    const mp_flow flow = call.flow(1);
    CHECK(host.adopt({}).empty());
    CHECK(host.adopt({&flow}) == std::vector<mp_status>{MP_E_UNSUPPORTED});
    CHECK(host.install(flow) == MP_OK);
}

TEST_CASE("after remove the sockets belong to the host again")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    PluginHost host(PLUGIN_PATH, engine(name));
    for (mp_flow_id id = 1; id <= 50; ++id) {
        REQUIRE(host.install(call.flow(id)) == MP_OK);
        call.caller.send(call.relay_caller.endpoint(), "through");
        REQUIRE(call.callee.receive() == "through");
        REQUIRE(host.remove(id).from_caller.packets == 1);
        call.caller.send(call.relay_caller.endpoint(), "to the host");
        REQUIRE(call.relay_caller.receive() == "to the host");
    }
}

TEST_CASE("each packet around a remove is either counted and sent or left in the socket")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    PluginHost host(PLUGIN_PATH, engine(name));
    constexpr unsigned packets = 100;
    for (mp_flow_id id = 1; id <= 100; ++id) {
        REQUIRE(host.install(call.flow(id)) == MP_OK);
        for (unsigned i = 0; i < packets; ++i)
            call.caller.send(call.relay_caller.endpoint(), "x");
        const auto counted = host.remove(id).from_caller.packets;
        std::uint64_t forwarded = 0;
        while (call.callee.receive(0))
            ++forwarded;
        std::uint64_t left = 0;
        while (call.relay_caller.receive(0))
            ++left;
        CHECK(forwarded == counted);
        REQUIRE(counted + left == packets);
    }
}

TEST_CASE("removing what is not there fails, and what is there is removed all the same")
{
    const std::string name = GENERATE("io_uring", "epoll");
    const Call call;
    PluginHost host(PLUGIN_PATH, engine(name));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    std::vector<mp_flow_reading> finals;
    CHECK(host.remove({9, 1, 1}, finals) == MP_E_INVALID);
    CHECK(finals[0].id == 9);
    CHECK(finals[0].caller_seen_ms == -1);
    CHECK(host.read().empty());
    CHECK(host.install(call.flow(1)) == MP_OK);
}

TEST_CASE("a thousand flows come and go without leaving a descriptor")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const std::size_t before = open_descriptors();
    {
        PluginHost host(PLUGIN_PATH, engine(name));
        const std::size_t with_host = open_descriptors();
        for (mp_flow_id id = 1; id <= 1000; ++id) {
            const Call call; // sockets are closed as soon as remove has returned
            REQUIRE(host.install(call.flow(id)) == MP_OK);
            host.remove(id);
        }
        CHECK(open_descriptors() == with_host);
    }
    CHECK(open_descriptors() == before);
}

TEST_CASE("a closed socket's port is free at once")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    PluginHost host(PLUGIN_PATH, engine(name));
    for (mp_flow_id id = 1; id <= 100; ++id) {
        mp_endpoint place{};
        {
            const Call call;
            place = call.relay_caller.endpoint();
            REQUIRE(host.install(call.flow(id)) == MP_OK);
            call.caller.send(place, "through");
            REQUIRE(call.callee.receive() == "through");
            host.remove(id);
        }
        REQUIRE_NOTHROW(UdpPhone(place));
    }
}

TEST_CASE("destroy with flows installed gives their sockets back")
{
    const std::string name = GENERATE("io_uring", "epoll");
    CAPTURE(name);
    const Call call;
    {
        PluginHost host(PLUGIN_PATH, engine(name));
        REQUIRE(host.install(call.flow(1)) == MP_OK);
        call.caller.send(call.relay_caller.endpoint(), "through");
        REQUIRE(call.callee.receive() == "through");
    }
    call.caller.send(call.relay_caller.endpoint(), "to the host");
    CHECK(call.relay_caller.receive() == "to the host");
}
