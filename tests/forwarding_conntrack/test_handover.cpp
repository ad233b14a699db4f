// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include <sys/socket.h>

#include "forwarding_conntrack/entries.hpp"
#include "lab.hpp"
#include "slow_relay.hpp"
#include "talk.hpp"

using namespace conntrack_test;

namespace
{

namespace plugin = forwarding_conntrack;

void check_perfect(const Talk::Direction& way)
{
    CHECK(way.sent > 0);
    CHECK(way.lost == 0);
    CHECK(way.doubled == 0);
    CHECK(way.wrong_source == 0);
}

/// The prototype of this back end: the same entry, but in the zone where everything else is tracked
/// too, after what is in the way was deleted.
class WithoutZone
{
public:
    explicit WithoutZone(const LabCall& call)
        : socket_(plugin::NetlinkSocket::open(error_)), entries_(*socket_, 0, 1)
    {
        const mp_flow flow = call.flow(1);
        flow_.caller_remote = flow.caller_remote;
        flow_.caller_local = flow.caller_local;
        flow_.callee_local = flow.callee_local;
        flow_.callee_remote = flow.callee_remote;
        flow_.timeout_s = 60;
    }

    void install()
    {
        plugin::Flow* const flows[] = {&flow_};
        remove();
        int failed = 0;
        entries_.create(flows, &failed);
        installed_ += failed == 0 ? 1 : 0;
    }
    void remove()
    {
        plugin::Flow* const flows[] = {&flow_};
        entries_.clear(flows);
    }
    unsigned installed() const { return installed_; }

private:
    mp_error error_{};
    std::unique_ptr<plugin::NetlinkSocket> socket_;
    plugin::Entries entries_;
    plugin::Flow flow_;
    unsigned installed_ = 0;
};

} // namespace

TEST_CASE(
    "a live call goes to the kernel and back a hundred times: nothing lost, doubled or from a "
    "wrong source")
{
    const Lab lab;
    const LabCall call(lab, GENERATE(Family::ipv4, Family::ipv6));
    SlowRelay slow(call);
    PluginHost host(PLUGIN_PATH,
                    GENERATE(forwarding_test::SettingList{},
                             forwarding_test::SettingList{{"untracked_ports", "1024:65536"}}));
    host.adopt({});
    Talk talk(call);
    std::uint64_t in_kernel = 0;
    for (int i = 0; i < 100; ++i) {
        REQUIRE(talk.await_more(10));
        REQUIRE(host.install(call.flow(1)) == MP_OK);
        REQUIRE(talk.await_more(10));
        in_kernel += host.remove(1).from_caller.packets;
    }
    talk.hang_up();
    check_perfect(talk.to_callee());
    check_perfect(talk.to_caller());
    CHECK(in_kernel >= 900);
    CHECK(slow.relayed() >= 1800);
}

TEST_CASE("a live flow is replaced a hundred times without losing a packet")
{
    const Lab lab;
    const LabCall call(lab);
    SlowRelay slow(call);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    Talk talk(call);
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    mp_flow_reading until_now{};
    for (int i = 0; i < 100; ++i) {
        REQUIRE(talk.await_more(5));
        REQUIRE(host.replace(call.flow(1), until_now) == MP_OK);
    }
    talk.hang_up();
    slow.stop();
    check_perfect(talk.to_callee());
    check_perfect(talk.to_caller());
    const mp_flow_reading finals = host.remove(1);
    CHECK(finals.from_caller.packets + finals.from_callee.packets + slow.relayed() ==
          talk.to_callee().sent + talk.to_caller().sent);
}

TEST_CASE("finals are what was forwarded, and every packet is forwarded or reaches the socket")
{
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    const int size = 256 << 20;
    for (const UdpPhone* end : {&call.relay_caller, &call.callee})
        setsockopt(end->fd(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    // The sender's processor also forwards, while this one takes the flow back.
    std::atomic<bool> stopping{false}, pausing{false};
    std::atomic<std::uint64_t> sent{0};
    std::thread flood([&] {
        while (!stopping) {
            if (pausing) {
                std::this_thread::yield();
                continue;
            }
            call.caller.send(call.relay_caller.endpoint(), "x");
            ++sent;
        }
    });
    std::uint64_t finals = 0, forwarded = 0, in_socket = 0;
    const auto drain = [&] {
        while (call.relay_caller.receive(0))
            ++in_socket;
        while (call.callee.receive(0))
            ++forwarded;
    };
    for (int i = 0; i < 300; ++i) {
        REQUIRE(host.install(call.flow(1)) == MP_OK);
        const std::uint64_t before = sent;
        while (sent < before + 50)
            std::this_thread::yield();
        finals += host.remove(1).from_caller.packets;
        pausing = true; // else draining might never end
        drain();
        pausing = false;
    }
    stopping = true;
    flood.join();
    // Also what the kernel has still to deliver.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    for (drain(); forwarded + in_socket < sent && std::chrono::steady_clock::now() < end; drain())
        std::this_thread::yield();
    CHECK(forwarded + in_socket == sent);
    CHECK(finals >= 300 * 50);
    // One packet may be between switch and counter on another processor that is held up just then.
    CHECK(finals <= forwarded);
    CHECK(finals + 3 >= forwarded);
}

TEST_CASE(
    "control: without a zone of their own, entries make the daemon's packets leave from wrong "
    "ports")
{
    const Lab lab;
    const LabCall call(lab);
    Lab::sysctl("net/ipv4/ip_forward", "1");
    Lab::relay(
        "nft 'table inet t { chain c { type nat hook postrouting priority srcnat; }; chain d "
        "{ type filter hook forward priority 0; ct state invalid drop; }; }'");
    SlowRelay slow(call);
    Talk talk(call);
    WithoutZone entry(call);
    // It may even come to a standstill: a phone's packets reach the daemon from a wrong port too.
    constexpr std::chrono::seconds patience{1};
    for (int i = 0; i < 200 && talk.await_more(5, patience); ++i) {
        entry.install();
        if (!talk.await_more(5, patience))
            break;
        entry.remove();
    }
    talk.hang_up();
    CHECK(entry.installed() > 0);
    CHECK(talk.to_callee().wrong_source + talk.to_caller().wrong_source > 0);
}
