// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include <linux/netfilter/nf_tables.h>
#include <sys/socket.h>
#include <unistd.h>

#include "forwarding_conntrack/entries.hpp"
#include "lab.hpp"
#include "netlink_tap.hpp"
#include "slow_relay.hpp"
#include "talk.hpp"

using namespace conntrack_test;
using namespace std::chrono_literals;

namespace
{

void check_perfect(const Talk::Direction& way)
{
    CHECK(way.sent > 0);
    CHECK(way.lost == 0);
    CHECK(way.doubled == 0);
    CHECK(way.wrong_source == 0);
}

/// Reads, as the host does, until `reached`; false after twenty seconds.
template <typename Reached>
bool read_until(PluginHost& host, Reached&& reached)
{
    const auto patience = std::chrono::steady_clock::now() + 20s;
    while (!reached(host.read())) {
        if (std::chrono::steady_clock::now() > patience)
            return false;
    }
    return true;
}

/// Fills this namespace's table of connection tracking to the last entry.
void fill_connection_tracking()
{
    mp_error error{};
    const auto socket = forwarding_conntrack::NetlinkSocket::open(error);
    REQUIRE(socket != nullptr);
    forwarding_conntrack::Entries entries(*socket, 5, 1);
    std::vector<forwarding_conntrack::Flow> flows(50'000);
    std::vector<forwarding_conntrack::Flow*> all;
    for (auto& flow : flows)
        all.push_back(&flow);
    std::vector<int> errors(flows.size());
    for (std::uint8_t net = 0; errors.back() == 0; ++net) {
        for (std::uint16_t i = 0; i < flows.size(); ++i) {
            const auto port = static_cast<std::uint16_t>(1024 + i);
            flows[i].caller_remote = {4, 0, port, {10, 92, 1, net}};
            flows[i].caller_local = {4, 0, port, {10, 92, 2, net}};
            flows[i].callee_local = {4, 0, port, {10, 92, 3, net}};
            flows[i].callee_remote = {4, 0, port, {10, 92, 4, net}};
            flows[i].timeout_s = 600;
        }
        entries.create(all, errors.data());
    }
    REQUIRE(errors.back() == ENOMEM);
}

} // namespace

TEST_CASE("whatever somebody deletes is restored, and the call does not notice")
{
    const Lab lab;
    const std::string deed =
        GENERATE("conntrack -F", "conntrack -D -p udp -w 19792", "nft flush ruleset",
                 "nft delete table inet mediaproxyd_test", "nft flush table inet mediaproxyd_test",
                 "nft flush set inet mediaproxyd_test fast4",
                 "conntrack -F; nft flush ruleset; conntrack -F");
    CAPTURE(deed);
    const LabCall call(lab), six(lab, Family::ipv6);
    SlowRelay slow(call);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(six.flow(2)) == MP_OK);
    Talk talk(call);
    REQUIRE(talk.await_more(10));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    REQUIRE(talk.await_more(50));
    const std::uint64_t before = host.read().at(1).from_caller.packets;
    CHECK(before > 0);

    Lab::relay("{ " + deed + "; } 2>/dev/null");
    REQUIRE(talk.await_more(20));
    const std::uint64_t put_back = host.read().at(1).from_caller.packets;
    CHECK(put_back >= before);
    const std::uint64_t slow_before = slow.relayed();
    REQUIRE(talk.await_more(50));
    const std::uint64_t after = host.read().at(1).from_caller.packets;
    CHECK(after >= put_back + 40);
    CHECK(slow.relayed() <= slow_before + 20); // what was under way
    talk.hang_up();
    check_perfect(talk.to_callee());
    check_perfect(talk.to_caller());
    CHECK(host.lost().empty());
    six.caller.send(six.relay_caller.endpoint(), "hello");
    CHECK(six.callee.receive() == "hello");
    CHECK(host.remove(1).from_caller.packets >= after);
}

TEST_CASE("a dump of the table that fails says nothing about it: the next reading looks again")
{
    using forwarding_test::BadDump;
    const auto type = GENERATE(as<std::uint16_t>(), NFT_MSG_GETRULE, NFT_MSG_GETSETELEM);
    const auto how = GENERATE(BadDump::refused, BadDump::given_up, BadDump::interrupted);
    const bool damaged = GENERATE(false, true);
    CAPTURE(type, static_cast<int>(how), damaged);
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    host.read();
    Lab::relay(damaged ? "nft flush chain inet mediaproxyd_test switch" : "nft add table ip other");
    {
        forwarding_test::NetlinkTap tap;
        tap.spoil(type, how);
        host.read();
        CHECK(tap.sent(NFT_MSG_NEWTABLE) == 0);
        CHECK(!host.logged("it is made anew"));
    }
    host.read();
    CHECK(host.logged("it is made anew") == damaged);
    call.caller.send(call.relay_caller.endpoint(), "hello");
    CHECK(call.callee.receive() == "hello");
    CHECK(host.lost().empty());
}

TEST_CASE("an entry that somebody deletes is put back amid a flood")
{
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    std::atomic<bool> done{false};
    std::thread flood([&] {
        while (!done) {
            call.caller.send(call.relay_caller.endpoint(), "from the caller");
            call.callee.send(call.relay_callee.endpoint(), "from the callee");
        }
    });
    for (int i = 0; i < 30; ++i) {
        Lab::relay("conntrack -F 2>/dev/null");
        host.read();
    }
    done = true;
    flood.join();
    CHECK(host.lost().empty());
}

TEST_CASE("an install finds that the table was deleted and makes it again")
{
    const Lab lab;
    const LabCall first(lab), second(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(first.flow(1)) == MP_OK);
    Lab::relay("nft flush ruleset");
    REQUIRE(host.install(second.flow(2)) == MP_OK);
    second.caller.send(second.relay_caller.endpoint(), "hello");
    CHECK(second.callee.receive() == "hello");
    host.read();
    first.caller.send(first.relay_caller.endpoint(), "hello");
    CHECK(first.callee.receive() == "hello");
}

TEST_CASE("a reading that comes amid another one does not end the return of the lost table")
{
    constexpr std::uint16_t flow_count = 400; // more than a reading looks after in one turn
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    std::vector<mp_flow> flows;
    for (std::uint16_t i = 0; i < flow_count; ++i) {
        mp_flow flow = call.flow(i + 1);
        flow.caller_local.port = static_cast<std::uint16_t>(2000 + 2 * i);
        flow.callee_local.port = static_cast<std::uint16_t>(2001 + 2 * i);
        flows.push_back(flow);
    }
    REQUIRE(host.install(flows) == std::vector<mp_status>(flow_count, MP_OK));
    Lab::relay("nft flush ruleset");
    host.ask();
    REQUIRE(host.read().size() == flow_count); // asked for at once
    const std::string switched = Lab::ask("nft list set inet mediaproxyd_test fast4");
    CHECK(std::count(switched.begin(), switched.end(), ',') == 2 * flow_count - 1);
    CHECK(host.lost().empty());
}

TEST_CASE("a sysctl that somebody sets back is set again with the next reading")
{
    const Lab lab;
    const LabCall call(lab), six(lab, Family::ipv6);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install({call.flow(1), six.flow(2)}) == std::vector<mp_status>{MP_OK, MP_OK});
    const std::vector<std::string> names{"net/netfilter/nf_conntrack_acct", "net/ipv4/ip_forward",
                                         "net/ipv6/conf/all/forwarding"};
    for (const std::string& name : names)
        Lab::sysctl(name, "0");
    host.read();
    for (const std::string& name : names)
        CHECK(Lab::sysctl(name) == "1");
    CHECK(host.logged("somebody set net/ipv4/ip_forward to 0"));
    six.caller.send(six.relay_caller.endpoint(), "hello");
    CHECK(six.callee.receive() == "hello");
}

TEST_CASE("while a sysctl cannot be set back, calls are on the slow path")
{
    const std::string name = GENERATE("net/ipv4/ip_forward", "net/netfilter/nf_conntrack_acct");
    const std::string trust = GENERATE("check", "trust");
    const Lab lab;
    const LabCall call(lab), six(lab, Family::ipv6);
    PluginHost host(PLUGIN_PATH, {{"forward_chain", trust}});
    host.adopt({});
    REQUIRE(host.install({call.flow(1), six.flow(2)}) == std::vector<mp_status>{MP_OK, MP_OK});
    Lab::sysctl(name, "0");
    {
        const ReadOnlySysctls read_only;
        host.read();
        REQUIRE(host.await_lost(2));
        host.remove(1);
        host.remove(2);
        call.caller.send(call.relay_caller.endpoint(), "to the host");
        CHECK(call.relay_caller.receive() == "to the host");
        std::string message;
        CHECK(host.install(call.flow(3), &message) == MP_E_AGAIN);
        CHECK(message.find("a sysctl") != std::string::npos);
        host.read(); // says it once
    }
    for (const std::string part : {"slow path", "it cannot be set back: "}) {
        const auto said = host.log();
        CHECK(std::count_if(said.begin(), said.end(), [&](const std::string& line) {
                  return line.find(part) != std::string::npos;
              }) == 1);
    }
    host.read();
    CHECK(Lab::sysctl(name) == "1");
    REQUIRE(host.install(call.flow(3)) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "hello");
    CHECK(call.callee.receive() == "hello");
    CHECK(host.lost().size() == 2);
}

TEST_CASE("a call on hold outlives the kernel's own timeout")
{
    const Lab lab;
    Lab::sysctl("net/netfilter/nf_conntrack_udp_timeout_stream", "2");
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "hold the line");
    REQUIRE(call.callee.receive() == "hold the line");
    host.read(); // grown: not on hold
    host.read();
    const std::string entry = Lab::ask("conntrack -L -w 19792 2>/dev/null");
    CAPTURE(entry);
    CHECK(std::stoi(entry.substr(entry.find("17 ") + 3)) > 500);
    std::this_thread::sleep_for(4s); // longer than the kernel would have kept it
    call.caller.send(call.relay_caller.endpoint(), "here I am again");
    CHECK(call.callee.receive() == "here I am again");
    CHECK(host.read().at(1).from_caller.packets == 2);
}

TEST_CASE("an entry that expired all the same costs no packet and no count")
{
    const Lab lab;
    Lab::sysctl("net/netfilter/nf_conntrack_udp_timeout_stream", "1");
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "one");
    REQUIRE(call.callee.receive() == "one");
    host.read();
    const auto patience = std::chrono::steady_clock::now() + 10s;
    while (!Lab::ask("conntrack -L -w 19792 2>/dev/null").empty() &&
           std::chrono::steady_clock::now() < patience)
        std::this_thread::sleep_for(50ms);
    call.caller.send(call.relay_caller.endpoint(), "two");
    CHECK(call.relay_caller.receive() == "two");
    CHECK(host.read().at(1).from_caller.packets == 1);
    call.caller.send(call.relay_caller.endpoint(), "three");
    CHECK(call.callee.receive() == "three");
    CHECK(host.remove(1).from_caller.packets == 2);
}

TEST_CASE("when connection tracking is full, calls stay on the slow path")
{
    const Lab lab;
    const bool untracked = GENERATE(false, true);
    const LabCall call(lab);
    SlowRelay slow(call);
    PluginHost host(PLUGIN_PATH,
                    untracked ? forwarding_test::SettingList{{"untracked_ports", "1024:65536"}}
                              : forwarding_test::SettingList{});
    host.adopt({});
    const auto both_speak = [&] {
        call.caller.send(call.relay_caller.endpoint(), "hello");
        REQUIRE(call.callee.receive() == "hello");
        call.callee.send(call.relay_callee.endpoint(), "hello");
        REQUIRE(call.caller.receive() == "hello");
    };
    if (!untracked) // the daemon's own streams need entries then, and have them when they came
                    // first
        both_speak();
    fill_connection_tracking();
    std::string message;
    CHECK(host.install(call.flow(1), &message) == MP_E_AGAIN);
    CHECK(message.find("the table of connection tracking is full (net/netfilter/nf_conntrack_max "
                       "is ") == 0);
    both_speak();
    CHECK(host.read().empty());
}

TEST_CASE("answers that do not fit into the socket's buffer lead to no wrong verdict")
{
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    std::vector<mp_flow> flows;
    for (std::uint16_t i = 0; i < 1000; ++i) {
        mp_flow flow = call.flow(i + 1);
        flow.caller_local.port = static_cast<std::uint16_t>(2000 + 2 * i);
        flow.callee_local.port = static_cast<std::uint16_t>(2001 + 2 * i);
        flows.push_back(flow);
    }
    // Strangers' entries are in the way of half of them, so that the kernel has much to answer.
    mp_error error{};
    const auto socket = forwarding_conntrack::NetlinkSocket::open(error);
    forwarding_conntrack::Entries strangers(*socket, 19792, 1);
    for (std::size_t i = 0; i < flows.size(); i += 2) {
        forwarding_conntrack::Flow flow;
        flow.caller_remote = flows[i].caller_remote;
        flow.caller_local = flows[i].caller_local;
        flow.callee_local = flows[i].callee_local;
        flow.callee_remote = flows[i].callee_remote;
        flow.timeout_s = 60;
        forwarding_conntrack::Flow* const one[] = {&flow};
        int failed = 0;
        strangers.create(one, &failed);
        REQUIRE(failed == 0);
    }
    for (int fd = 3; fd < 64; ++fd) { // the plugin's sockets among them
        const int least = 1;
        int protocol = 0;
        socklen_t size = sizeof protocol;
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &protocol, &size) == 0 && protocol == AF_NETLINK)
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
    }
    const std::vector<mp_status> each = host.install(flows);
    CHECK(each == std::vector<mp_status>(1000, MP_OK));
    CHECK(host.read().size() == 1000);
    CHECK(host.lost().empty());
}

TEST_CASE("a firewall that would swallow forwarded packets keeps calls on the slow path")
{
    const Lab lab;
    const LabCall call(lab);
    const std::string wall = "nft 'table inet wall { chain forward { type filter hook forward "
                             "priority 0; policy drop; ";
    const auto refused = [&](const std::string& rules) {
        Lab::relay("nft delete table inet wall 2>/dev/null; " + wall + rules + " }; }'");
        PluginHost host(PLUGIN_PATH, {});
        host.adopt({});
        std::string message;
        const bool said_no = host.install(call.flow(1), &message) == MP_E_AGAIN;
        CHECK((!said_no || message ==
                               "the firewall drops what is forwarded: table inet wall, chain "
                               "forward has policy drop and accepts no established "
                               "connections"));
        if (!said_no) {
            call.caller.send(call.relay_caller.endpoint(), "hello");
            CHECK(call.callee.receive() == "hello");
        }
        return said_no;
    };
    CHECK(refused(""));
    CHECK(refused("tcp dport 22 accept;"));
    CHECK(refused("ct state invalid accept;"));
    CHECK(!refused("ct state established,related accept;"));
    CHECK(!refused("ct state vmap { established : accept, invalid : drop };"));
    CHECK(!refused("counter accept;"));
    Lab::relay(
        "nft delete table inet wall; nft 'table inet wall { chain known { ct state established "
        "accept; }; chain forward { type filter hook forward priority 0; policy drop; jump "
        "known; }; }'");
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    CHECK(host.install(call.flow(1)) == MP_OK);
}

TEST_CASE("a firewall that comes later sends calls back to the slow path until it opens")
{
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    Lab::relay("nft 'table inet wall { chain forward { type filter hook forward priority 0; policy "
               "drop; }; }'");
    host.read();
    REQUIRE(host.await_lost(1));
    host.remove(1);
    CHECK(host.install(call.flow(2)) == MP_E_AGAIN);
    Lab::relay("nft add rule inet wall forward ct state established accept");
    CHECK(read_until(host, [&](const auto&) {
        std::this_thread::sleep_for(100ms);
        return host.logged("this is over: the firewall");
    }));
    CHECK(host.install(call.flow(3)) == MP_OK);
}

TEST_CASE("rules that the kernel does not tell change nothing, and are looked at again")
{
    using forwarding_test::BadDump;
    const auto how = GENERATE(BadDump::refused, BadDump::given_up, BadDump::interrupted);
    CAPTURE(static_cast<int>(how));
    const std::string wall = "nft 'table inet wall { chain forward { type filter hook forward "
                             "priority 0; policy drop; ";
    const std::string open = "ct state established accept; }; }'", closed = "}; }'";
    const Lab lab;
    const LabCall call(lab);
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    const auto until_not_told = [&](const std::string& command, std::uint16_t type) {
        forwarding_test::NetlinkTap tap;
        Lab::relay(command);
        tap.spoil(type, how);
        const auto told = host.log().size();
        return read_until(host, [&](const auto&) {
            const auto log = host.log();
            return std::any_of(log.begin() + static_cast<std::ptrdiff_t>(told), log.end(),
                               [](const std::string& line) {
                                   return line.find("does not tell") != std::string::npos;
                               });
        });
    };
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    REQUIRE(until_not_told(wall + open, NFT_MSG_GETRULE));
    CHECK(host.lost().empty());
    REQUIRE(until_not_told("nft flush chain inet wall forward", NFT_MSG_GETCHAIN));
    CHECK(host.lost().empty());

    REQUIRE(read_until(host, [&](const auto&) { return !host.lost().empty(); }));
    host.remove(1);
    REQUIRE(until_not_told("nft delete table inet wall", NFT_MSG_GETCHAIN));
    CHECK(host.install(call.flow(2)) == MP_E_AGAIN);
    REQUIRE(read_until(host, [&](const auto&) { return host.install(call.flow(3)) == MP_OK; }));
    Lab::relay(wall + closed);
    REQUIRE(read_until(host, [&](const auto&) { return host.lost().size() == 2; }));
}

TEST_CASE("the operator may say that the firewall is all right")
{
    const Lab lab;
    const LabCall call(lab);
    Lab::relay("nft 'table inet wall { chain forward { type filter hook forward priority 0; policy "
               "drop; udp dport 1024-65535 accept; }; }'");
    PluginHost host(PLUGIN_PATH, {{"forward_chain", "trust"}});
    host.adopt({});
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "hello");
    CHECK(call.callee.receive() == "hello");
}
