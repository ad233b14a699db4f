// SPDX-License-Identifier: GPL-2.0-or-later
#include <fstream>
#include <linux/netfilter/nf_tables.h>

#include "../forwarding/netlink_tap.hpp"
#include "nftables.hpp"

using namespace forwarding_test;

namespace
{

/// Readings as the daemon asks for them, until the flow forwards again.
bool comes_back(PluginHost& host, const LabCall& call)
{
    return host.await([&] { // called with the host's lock held: only sockets here
        call.caller.send(call.relay_caller.endpoint(), "probe");
        return call.callee.receive(20).has_value();
    });
}

} // namespace

TEST_CASE("what others delete is put back, no flow is lost and counters go on")
{
    const auto [hook, command] = GENERATE(table<Hook, std::string>({
        {Hook::prerouting, "nft flush ruleset"},
        {Hook::prerouting, "nft delete table ip mediaproxyd_test"},
        {Hook::prerouting, "nft flush map ip mediaproxyd_test flows"},
        {Hook::prerouting, "nft flush chain ip mediaproxyd_test prerouting"},
        {Hook::devices, "nft flush ruleset"},
        {Hook::devices, "nft flush map netdev mediaproxyd_test flows"},
        {Hook::devices, "nft flush chain netdev mediaproxyd_test ingress_ra"},
    }));
    CAPTURE(command);
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    for (int i = 0; i < 3; ++i)
        check_forwards(call);
    REQUIRE(host->read().at(1).from_caller.packets == 3);

    lab.run(command);
    call.caller.send(call.relay_caller.endpoint(), "past the map");
    REQUIRE(call.relay_caller.receive() == "past the map");
    CHECK(host->read().at(1).from_caller.packets == 3);
    REQUIRE(comes_back(*host, call));
    check_forwards(call);
    const auto before = host->read().at(1);
    CHECK(before.from_caller.packets >= 5);
    CHECK(before.from_callee.packets == 4);
    check_forwards(call);
    CHECK(host->remove(1).from_callee.packets == 5);
    CHECK(host->lost().empty());
}

TEST_CASE("what the map has counted is not lost when only rules are made again")
{
    const auto [hook, command] = GENERATE(table<Hook, std::string>({
        {Hook::prerouting, "nft add rule ip mediaproxyd_test prerouting counter"},
        {Hook::prerouting, "nft delete table ip6 mediaproxyd_test"},
        {Hook::devices, "nft flush chain netdev mediaproxyd_test ingress_ra"},
    }));
    CAPTURE(command);
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    check_forwards(call);
    REQUIRE(host->read().at(1).from_caller.packets == 1);
    for (int i = 0; i < 5; ++i)
        check_forwards(call);

    lab.run(command);
    CHECK(host->read().at(1).from_caller.packets == 6);
    REQUIRE(comes_back(*host, call));
    const auto end = host->remove(1);
    CHECK(end.from_caller.packets >= 7);
    CHECK(end.from_callee.packets == 6);
}

TEST_CASE("what a reading misses because calls end meanwhile is not put in a second time")
{
    constexpr std::uint16_t flow_count = 1000; // several times what the kernel tells at once
    const KernelLab lab;
    const LabCall call(lab);
    const auto host = start(lab);
    std::vector<mp_flow> flows;
    std::vector<mp_flow_id> ending;
    for (std::uint16_t i = 0; i < flow_count; ++i) {
        mp_flow flow = call.flow(i + 1U);
        flow.caller_local.port = static_cast<std::uint16_t>(2000 + 2 * i);
        flow.callee_local.port = static_cast<std::uint16_t>(2001 + 2 * i);
        flows.push_back(flow);
        if (i % 5 == 0)
            ending.push_back(flow.id);
    }
    REQUIRE(host->install(flows) == std::vector<mp_status>(flow_count, MP_OK));
    const NetlinkTap tap;
    host->ask(); // the kernel goes on from the number of elements that it has told
    std::vector<mp_flow_reading> finals(ending.size());
    REQUIRE(host->remove(ending, finals) == MP_OK);
    CHECK(host->read().size() == flow_count - ending.size());
    CHECK(tap.sent(NFT_MSG_GETSETELEM) > 0); // some were missed: asked for one by one
    CHECK(tap.sent(NFT_MSG_NEWSETELEM) == 0);
    CHECK(host->lost().empty());
}

TEST_CASE("of a flow only the missing element is put back")
{
    const KernelLab lab;
    const LabCall call(lab);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    check_forwards(call);
    const auto port = [](const UdpPhone& phone) { return std::to_string(phone.endpoint().port); };
    lab.run("nft delete element ip mediaproxyd_test flows '{ 10.71.1.2 . 10.71.1.1 . " +
            port(call.caller) + " . " + port(call.relay_caller) + " }'");
    const NetlinkTap tap;
    host->read();
    REQUIRE(comes_back(*host, call));
    CHECK(tap.sent(NFT_MSG_NEWSETELEM) == 1);
    check_forwards(call);
    CHECK(host->remove(1).from_callee.packets == 2);
    CHECK(host->lost().empty());
}

TEST_CASE("a dump of rules that fails says nothing about them: the next reading looks again")
{
    const auto type =
        GENERATE(as<std::uint16_t>(), NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETRULE);
    const auto how = GENERATE(BadDump::refused, BadDump::given_up, BadDump::interrupted);
    const bool damaged = GENERATE(false, true);
    CAPTURE(type, static_cast<int>(how), damaged);
    const KernelLab lab;
    const LabCall call(lab);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    lab.run(damaged ? "nft flush chain ip mediaproxyd_test prerouting" : "nft add table ip other");
    {
        NetlinkTap tap;
        tap.spoil(type, how);
        host->read();
        CHECK(tap.sent(NFT_MSG_NEWTABLE) == 0);
        CHECK(!host->logged("it is made again"));
    }
    host->read();
    CHECK(host->logged("it is made again") == damaged);
    REQUIRE(comes_back(*host, call));
    check_forwards(call);
    CHECK(host->lost().empty());
}

TEST_CASE("a successor that cannot see the rules takes flows over, and looks again")
{
    const auto how = GENERATE(BadDump::refused, BadDump::interrupted);
    const bool damaged = GENERATE(false, true);
    const KernelLab lab;
    const LabCall call(lab);
    {
        const auto host = start(lab);
        REQUIRE(host->install(call.flow(1)) == MP_OK);
        check_forwards(call);
        host->leave();
    }
    if (damaged)
        lab.run("nft flush chain ip mediaproxyd_test prerouting");
    PluginHost host(PLUGIN_PATH, {}, HostIdentity{"test", lab.state_dir()});
    const mp_flow flow = call.flow(1);
    {
        NetlinkTap tap;
        tap.spoil(NFT_MSG_GETRULE, how);
        std::vector<mp_flow_reading> so_far;
        REQUIRE(host.adopt({&flow}, &so_far) == std::vector<mp_status>{MP_OK});
        CHECK(so_far[0].from_caller.packets == 1);
    }
    host.read();
    CHECK(host.logged("it is made again") == damaged);
    REQUIRE(comes_back(host, call));
    check_forwards(call);
    CHECK(host.remove(1).from_callee.packets == 2);
    CHECK(host.lost().empty());
}

TEST_CASE("removing what others deleted tells what was last read")
{
    const KernelLab lab;
    const LabCall call(lab), other(lab);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    REQUIRE(host->install(other.flow(2)) == MP_OK);
    check_forwards(call);
    host->read();
    lab.run("nft delete table ip mediaproxyd_test");
    CHECK(host->remove(1).from_caller.packets == 1);
    CHECK(host->install(call.flow(3)) == MP_E_AGAIN); // and the table is made again
    CHECK(host->install(call.flow(3)) == MP_OK);
    check_forwards(call);
    REQUIRE(comes_back(*host, other));
}

TEST_CASE("a flow whose element others changed is lost, the rest stays")
{
    const KernelLab lab;
    const LabCall call(lab), other(lab);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    REQUIRE(host->install(other.flow(2)) == MP_OK);
    lab.run("nft flush map ip mediaproxyd_test flows");
    lab.run("nft add element ip mediaproxyd_test flows '{ 10.71.1.2 . 10.71.1.1 . " +
            std::to_string(call.caller.endpoint().port) + " . " +
            std::to_string(call.relay_caller.endpoint().port) +
            " : 10.0.0.1 . 10.0.0.2 . 1 . 2 }'");
    host->read();
    REQUIRE(host->await_lost(1));
    CHECK(host->lost() == std::vector<mp_flow_id>{1});
    host->remove(1);
    REQUIRE(comes_back(*host, other));
}

TEST_CASE("a sysctl that somebody turns off is turned on again with the next reading")
{
    const std::string name = GENERATE("net/ipv4/ip_forward", "net/ipv4/conf/all/accept_local");
    const KernelLab lab;
    const LabCall call(lab);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    check_forwards(call);
    KernelLab::set_sysctl(name, "0");
    host->read();
    CHECK(KernelLab::sysctl(name) == "1");
    check_forwards(call);
}

TEST_CASE("a device with a strict reverse path check that appears later is covered")
{
    const KernelLab lab;
    const LabCall call(lab);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    for (const char* device : {"ra", "rb"})
        KernelLab::set_sysctl(std::string("net/ipv4/conf/") + device + "/rp_filter", "1");
    host->read();
    CHECK(KernelLab::sysctl("net/ipv4/conf/all/rp_filter") == "2");
    check_forwards(call);
}

TEST_CASE("on devices, a flow whose neighbour or route goes comes back to the slow path")
{
    const std::string command = GENERATE("ip neigh del 10.71.2.2 dev rb",
                                         "ip addr del 10.71.2.1/24 dev rb", "ip link set rb down");
    CAPTURE(command);
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    const auto host = start(lab, settings_for(Hook::devices));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    check_forwards(call);
    lab.run(command);
    REQUIRE(host->await_lost(1));
    host->remove(1);
    call.caller.send(call.relay_caller.endpoint(), "slow");
    CHECK(call.relay_caller.receive() == "slow");
}

TEST_CASE("on devices, a device that goes and comes back forwards again")
{
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    const auto host = start(lab, settings_for(Hook::devices));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    lab.run("ip link del rb");
    REQUIRE(host->await_lost(1));
    host->remove(1);
    CHECK(host->install(call.flow(2)) == MP_E_AGAIN);

    lab.run("ip link add rb mtu 9500 type veth peer name pb netns /proc/" +
            std::to_string(getpid()) + "/fd/" + std::to_string(lab.phones_namespace()));
    lab.run("ip addr add 10.71.2.1/24 dev rb");
    lab.run("ip link set rb up");
    lab.run_at_phones("ip addr add 10.71.2.2/24 dev pb");
    lab.run_at_phones("ip link set pb up");
    host->read();
    call.greet();
    REQUIRE(host->install(call.flow(3)) == MP_OK);
    check_forwards(call);
}

TEST_CASE("on devices, a route that moves takes its flows along")
{
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    lab.run_at_phones("ip addr add 10.99.0.1/32 dev lo");
    lab.run("ip route add 10.99.0.1 via 10.71.2.2");
    lab.run_at_phones("ip route add 10.71.2.0/24 dev pb src 10.99.0.1 metric 5");
    const UdpPhone far = lab.phone("10.99.0.1");
    mp_flow flow = call.flow(1);
    flow.callee_remote = far.endpoint();
    const auto host = start(lab, settings_for(Hook::devices));
    REQUIRE(host->install(flow) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "by way of .2");
    REQUIRE(far.receive() == "by way of .2");

    const UdpPhone router = lab.phone("10.71.2.3");
    lab.relay_socket("10.71.2.1").send(router.endpoint(), "where are you?");
    REQUIRE(router.receive());
    lab.run("ip route replace 10.99.0.1 via 10.71.2.3");
    REQUIRE(host->await([&] {
        return lab.run("nft list map netdev mediaproxyd_test flows").find("\"rb\" . 10.71.2.3") !=
               std::string::npos;
    }));
    call.caller.send(call.relay_caller.endpoint(), "by way of .3");
    CHECK(far.receive() == "by way of .3");
    CHECK(host->remove(1).from_caller.packets == 2);
    CHECK(host->lost().empty());
}

TEST_CASE("on devices, routes that change faster than flows are looked after pile nothing up")
{
    constexpr std::size_t flows = 1000, looked_after_in_a_turn = 200;
    constexpr int changes = 640, changes_in_a_turn = 64;
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    const auto host = start(lab, settings_for(Hook::devices));
    for (std::size_t id = 0; id < flows; ++id) {
        mp_flow flow = call.flow(id);
        flow.caller_remote.port = static_cast<std::uint16_t>(20000 + id);
        flow.callee_remote.port = flow.caller_remote.port;
        REQUIRE(host->install(flow) == MP_OK);
    }
    host->settle();
    const std::string file = lab.state_dir() + "/routes";
    {
        std::ofstream routes(file);
        for (int i = 0; i < changes; ++i)
            routes << "route add 10.98." << i / 256 << "." << i % 256 << "/32 via 10.71.2.2\n";
    }
    lab.run("ip -batch " + file);
    const std::size_t all_once = flows / looked_after_in_a_turn;
    CHECK(host->settle() <= changes / changes_in_a_turn + all_once);
    CHECK(host->lost().empty());
}
