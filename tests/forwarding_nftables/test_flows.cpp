// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <thread>

#include <sys/socket.h>

#include "nftables.hpp"

using namespace forwarding_test;

namespace
{

/// Sends to the relay as fast as it can until it goes.
class Flood
{
public:
    explicit Flood(const LabCall& call)
        : thread_([this, &call] {
              while (!stop_) {
                  call.caller.send(call.relay_caller.endpoint(), "flood");
                  ++sent_;
              }
          })
    {
    }
    std::uint64_t stop()
    {
        stop_ = true;
        thread_.join();
        return sent_;
    }
    std::uint64_t sent() const { return sent_; }

private:
    std::atomic<bool> stop_{false};
    std::atomic<std::uint64_t> sent_{0};
    std::thread thread_;
};

std::uint64_t drain(const UdpPhone& socket)
{
    std::uint64_t count = 0;
    char buffer[16];
    while (recv(socket.fd(), buffer, sizeof buffer, MSG_DONTWAIT) >= 0)
        ++count;
    return count;
}

/// Adds to the counts also what the kernel has still to deliver: until they are as many together,
/// for two seconds at most.
void drain(std::map<const UdpPhone*, std::uint64_t>& counts, std::uint64_t expected)
{
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    for (std::uint64_t all = 0; std::chrono::steady_clock::now() < end; all = 0) {
        for (auto& [socket, count] : counts)
            all += count += drain(*socket);
        if (all >= expected)
            return;
        std::this_thread::yield();
    }
}

} // namespace

TEST_CASE("a flow forwards both ways and counts whole IP packets")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    CAPTURE(hook, family);
    const KernelLab lab;
    const LabCall call(lab, family);
    call.greet();
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(7)) == MP_OK);

    for (int i = 0; i < 5; ++i) {
        call.caller.send(call.relay_caller.endpoint(), std::string(160, 'a'));
        mp_endpoint from{};
        REQUIRE(call.callee.receive(from) == std::string(160, 'a'));
        CHECK(same(from, call.relay_callee.endpoint()));
    }
    for (const std::size_t size : {1, 0, 1400, 9000}) {
        call.callee.send(call.relay_callee.endpoint(), std::string(size, 'b'));
        mp_endpoint from{};
        REQUIRE(call.caller.receive(from) == std::string(size, 'b'));
        CHECK(same(from, call.relay_caller.endpoint()));
    }

    const std::uint64_t headers = family == Family::ipv4 ? 28 : 48;
    const auto check = [&](const mp_flow_reading& reading) {
        CHECK(reading.id == 7);
        CHECK(reading.from_caller.packets == 5);
        CHECK(reading.from_caller.bytes == 5 * (160 + headers));
        CHECK(reading.from_callee.packets == 4);
        CHECK(reading.from_callee.bytes == 10401 + 4 * headers);
        CHECK(reading.caller_seen_ms == -1);
        CHECK(reading.callee_seen_ms == -1);
    };
    const auto readings = host->read();
    REQUIRE(readings.size() == 1);
    check(readings.at(7));
    check(host->remove(7));
    CHECK(host->read().empty());
    CHECK_FALSE(call.relay_caller.receive(0));
    CHECK_FALSE(call.relay_callee.receive(0));
}

TEST_CASE("a stranger's packet goes to the relay's socket, not to the other side")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    const UdpPhone stranger = lab.phone("10.71.2.3");
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(1)) == MP_OK);

    stranger.send(call.relay_callee.endpoint(), "who is there");
    mp_endpoint from{};
    CHECK(call.relay_callee.receive(from) == "who is there");
    CHECK(same(from, stranger.endpoint()));
    check_forwards(call);
    CHECK(host->remove(1).from_callee.packets == 1);
}

TEST_CASE("what is not installed any more comes to the relay's socket")
{
    const KernelLab lab;
    const LabCall call(lab);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    check_forwards(call);
    host->remove(1);
    call.caller.send(call.relay_caller.endpoint(), "slow");
    CHECK(call.relay_caller.receive() == "slow");
}

TEST_CASE("the ruleset is readable with nft")
{
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const KernelLab lab;
    const LabCall call(lab, family);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    const bool v4 = family == Family::ipv4;
    const auto port = [](const UdpPhone& phone) { return std::to_string(phone.endpoint().port); };

    const std::string rules = lab.run("nft list ruleset");
    INFO(rules);
    CHECK(rules.find("Error") == std::string::npos);
    CHECK(rules.find(v4 ? "table ip mediaproxyd_test" : "table ip6 mediaproxyd_test") !=
          std::string::npos);
    const std::string caller = v4 ? "10.71.1.2" : "fd71:1::2",
                      relay = v4 ? "10.71.1.1" : "fd71:1::1";
    CHECK(rules.find(caller + " . " + relay + " . " + port(call.caller) + " . " +
                     port(call.relay_caller) + " counter packets 0 bytes 0 : ") !=
          std::string::npos);
    const std::string callee = v4 ? "10.71.2.2" : "fd71:2::2",
                      other = v4 ? "10.71.2.1" : "fd71:2::1";
    CHECK(rules.find(": " + other + " . " + callee + " . " + port(call.relay_callee) + " . " +
                     port(call.callee)) != std::string::npos);
    CHECK(rules.find(v4 ? "ip saddr . ip daddr . udp sport . udp dport map @flows"
                        : "ip6 saddr . ip6 daddr . udp sport . udp dport map @flows") !=
          std::string::npos);
}

TEST_CASE("on devices the elements are readable with nft too")
{
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    const auto host = start(lab, settings_for(Hook::devices));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    const std::string map = lab.run("nft list map netdev mediaproxyd_test flows");
    CHECK(map.find("10.71.2.1 . 10.71.2.2 . " + std::to_string(call.relay_callee.endpoint().port) +
                   " . \"rb\" . 10.71.2.2") != std::string::npos);
}

TEST_CASE("replace moves a party, keeps the counters and tells them")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    const UdpPhone moved = lab.phone("10.71.1.2");
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    check_forwards(call);

    mp_flow flow = call.flow(1);
    flow.caller_remote = moved.endpoint();
    mp_flow_reading until_now{};
    REQUIRE(host->replace(flow, until_now) == MP_OK);
    CHECK(until_now.from_caller.packets == 1);
    moved.send(call.relay_caller.endpoint(), "after");
    CHECK(call.callee.receive() == "after");
    call.callee.send(call.relay_callee.endpoint(), "to the new place");
    CHECK(moved.receive() == "to the new place");
    call.caller.send(call.relay_caller.endpoint(), "from the old place");
    CHECK(call.relay_caller.receive() == "from the old place");
    CHECK(host->read().at(1).from_caller.packets == 2);
    const auto finals = host->remove(1);
    CHECK(finals.from_caller.packets == 2);
    CHECK(finals.from_callee.packets == 2);
    CHECK(host->replace(flow, until_now) == MP_E_INVALID);
}

TEST_CASE("where one flow of a burst is refused the others go in")
{
    const KernelLab lab;
    const auto host = start(lab);
    std::vector<LabCall> calls;
    std::vector<mp_flow> flows;
    for (mp_flow_id id = 0; id < 20; ++id) {
        calls.emplace_back(lab);
        flows.push_back(calls.back().flow(id));
    }
    const auto port = [](const UdpPhone& phone) { return std::to_string(phone.endpoint().port); };
    lab.run("nft add element ip mediaproxyd_test flows '{ 10.71.1.2 . 10.71.1.1 . " +
            port(calls[5].caller) + " . " + port(calls[5].relay_caller) +
            " : 10.0.0.1 . 10.0.0.2 . 1 . 2 }'");
    flows[9].callee_remote.family = 6; // between the families
    flows[12] = calls[11].flow(12);    // the same addresses as flow 11

    std::string message;
    const auto each = host->install(flows, &message);
    for (mp_flow_id id = 0; id < 20; ++id) {
        CAPTURE(id);
        if (id == 5 || id == 12) {
            CHECK(each[id] == MP_E_AGAIN);
        } else if (id == 9) {
            CHECK(each[id] == MP_E_UNSUPPORTED);
        } else {
            CHECK(each[id] == MP_OK);
            check_forwards(calls[id]);
        }
    }
    CHECK(message == "flow 9: is between IPv4 and IPv6, which nftables cannot forward");
    CHECK(host->read().size() == 17);
}

TEST_CASE("a full map refuses what does not fit and tells its size")
{
    const KernelLab lab;
    const auto host = start(lab, {{"map_size", "16"}});
    std::vector<LabCall> calls;
    std::vector<mp_flow> flows;
    for (mp_flow_id id = 0; id < 10; ++id) {
        calls.emplace_back(lab);
        flows.push_back(calls.back().flow(id));
    }
    std::string message;
    const auto each = host->install(flows, &message);
    CHECK(std::count(each.begin(), each.end(), MP_OK) == 8);
    CHECK(std::count(each.begin(), each.end(), MP_E_AGAIN) == 2);
    CHECK(message == "flow 8: the map is full: map_size is 16");
    host->remove(0);
    CHECK(host->install(flows[8]) == MP_OK);
    check_forwards(calls[8]);
}

TEST_CASE("flows that the kernel's map cannot have are refused with a sentence")
{
    const KernelLab lab;
    const LabCall call(lab);
    const auto host = start(lab);
    const auto refusal = [&](auto&& change) {
        mp_flow flow = call.flow(1);
        change(flow);
        std::string message;
        CHECK(host->install(flow, &message) == MP_E_UNSUPPORTED);
        return message;
    };
    CHECK(refusal([](mp_flow& flow) { flow.dscp = 46; }) ==
          "flow 1: wants a DSCP, which this back end does not set");
    CHECK(refusal([](mp_flow& flow) { flow.mark = 1; }) ==
          "flow 1: wants a packet mark, which this back end does not set");
    CHECK(refusal([](mp_flow& flow) { flow.callee_remote = endpoint("127.0.0.1", 4000); }) ==
          "flow 1: has a loopback address, which the kernel does not route");
    CHECK(refusal([](mp_flow& flow) { flow.callee_remote.port = 0; }) ==
          "flow 1: has an endpoint without a port");
}

namespace
{

/// Room for all that a test sends.
void widen(const UdpPhone& socket)
{
    const int bytes = 256 << 20;
    setsockopt(socket.fd(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
}

/// A packet that another CPU forwards at the very moment of a removal may be counted after the
/// kernel has told the counter, and goes unnoticed: of 10,000 removals amid a flood it were two.
constexpr std::uint64_t most_unnoticed = 3;

} // namespace

TEST_CASE("final totals are those of the packets, which come at full speed")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    widen(call.relay_caller);
    widen(call.callee);
    const auto host = start(lab, settings_for(hook));
    std::uint64_t forwarded = 0;
    std::map<const UdpPhone*, std::uint64_t> counts{{&call.relay_caller, 0}, {&call.callee, 0}};
    Flood flood(call);
    for (mp_flow_id id = 0; id < 200; ++id) {
        REQUIRE(host->install(call.flow(id)) == MP_OK);
        for (const auto before = flood.sent(); flood.sent() < before + 50;)
            std::this_thread::yield();
        forwarded += host->remove(id).from_caller.packets;
    }
    const std::uint64_t sent = flood.stop();
    drain(counts, sent);
    const std::uint64_t slow = counts[&call.relay_caller], arrived = counts[&call.callee];
    CAPTURE(forwarded, slow);
    CHECK(forwarded >= 200 * 40);
    CHECK(arrived + slow == sent);
    CHECK(forwarded <= arrived);
    CHECK(arrived - forwarded <= most_unnoticed);
}

TEST_CASE("replace under full speed loses no packet and counts each once")
{
    const KernelLab lab;
    const LabCall call(lab);
    call.greet(); // else packets wait for neighbours, and not many can
    const UdpPhone other = lab.phone("10.71.2.2");
    for (const UdpPhone* phone : {&call.relay_caller, &call.callee, &other})
        widen(*phone);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    Flood flood(call);
    mp_flow flow = call.flow(1);
    for (int i = 0; i < 200; ++i) {
        flow.callee_remote = i % 2 == 0 ? other.endpoint() : call.callee.endpoint();
        mp_flow_reading until_now{};
        REQUIRE(host->replace(flow, until_now) == MP_OK);
        for (const auto before = flood.sent(); flood.sent() < before + 20;)
            std::this_thread::yield();
    }
    const std::uint64_t sent = flood.stop();
    const std::uint64_t forwarded = host->remove(1).from_caller.packets;
    std::map<const UdpPhone*, std::uint64_t> counts{
        {&call.relay_caller, 0}, {&call.callee, 0}, {&other, 0}};
    drain(counts, sent);
    const std::uint64_t slow = counts[&call.relay_caller];
    const std::uint64_t arrived = counts[&call.callee] + counts[&other];
    CAPTURE(forwarded, slow);
    CHECK(arrived + slow == sent);
    CHECK(forwarded <= arrived);
    CHECK(arrived - forwarded <= most_unnoticed);
}

TEST_CASE("one read tells all flows, in as many pieces as it takes")
{
    const KernelLab lab;
    std::vector<LabCall> calls;
    std::vector<mp_flow> flows;
    for (mp_flow_id id = 0; id < 600; ++id) {
        calls.emplace_back(lab, id % 3 == 0 ? Family::ipv6 : Family::ipv4);
        flows.push_back(calls.back().flow(id));
    }
    const auto host = start(lab);
    for (const mp_status status : host->install(flows))
        REQUIRE(status == MP_OK);
    for (const LabCall& call : calls)
        call.caller.send(call.relay_caller.endpoint(), "x");
    for (const LabCall& call : calls)
        REQUIRE(call.callee.receive() == "x");
    const auto readings = host->read();
    REQUIRE(readings.size() == calls.size());
    for (const auto& [id, reading] : readings)
        CHECK(reading.from_caller.packets == 1);
    std::vector<mp_flow_id> ids;
    for (const mp_flow& flow : flows)
        ids.push_back(flow.id);
    std::vector<mp_flow_reading> finals;
    REQUIRE(host->remove(ids, finals) == MP_OK);
    for (const mp_flow_reading& reading : finals)
        CHECK(reading.from_caller.packets == 1);
    CHECK(host->read().empty());
}
