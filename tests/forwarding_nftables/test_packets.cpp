// SPDX-License-Identifier: GPL-2.0-or-later
// Packets that are not what RTP usually looks like.
#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nftables.hpp"

using namespace forwarding_test;

namespace
{

void set_option(const UdpPhone& phone, int level, int name, int value)
{
    REQUIRE(setsockopt(phone.fd(), level, name, &value, sizeof value) == 0);
}

/// An IPv4 packet that the caller's host sends, header and all. `checksum` is UDP's.
void send_raw(const KernelLab& lab, const LabCall& call, const std::string& payload,
              std::uint16_t checksum)
{
    const int fd = lab.raw_socket_at_phones(IPPROTO_RAW);
    std::string packet(sizeof(iphdr) + sizeof(udphdr), '\0');
    packet += payload;
    auto& ip = *reinterpret_cast<iphdr*>(packet.data());
    auto& udp = *reinterpret_cast<udphdr*>(packet.data() + sizeof(iphdr));
    const mp_endpoint from = call.caller.endpoint(), to = call.relay_caller.endpoint();
    ip.version = 4;
    ip.ihl = 5;
    ip.ttl = 64;
    ip.protocol = IPPROTO_UDP;
    std::memcpy(&ip.saddr, from.address, sizeof ip.saddr);
    std::memcpy(&ip.daddr, to.address, sizeof ip.daddr);
    udp.source = htons(from.port);
    udp.dest = htons(to.port);
    udp.len = htons(static_cast<std::uint16_t>(sizeof(udphdr) + payload.size()));
    udp.check = checksum;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ip.daddr;
    REQUIRE(sendto(fd, packet.data(), packet.size(), 0, reinterpret_cast<sockaddr*>(&address),
                   sizeof address) == static_cast<ssize_t>(packet.size()));
    close(fd);
}

/// Through the kernel, of which the callee takes what has a right checksum.
void every_size_arrives(const KernelLab& lab, Hook hook, Family family)
{
    const LabCall call(lab, family);
    call.greet();
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    for (std::size_t size = 0; size < 200; ++size) {
        const std::string data(size, static_cast<char>(size * 37));
        call.caller.send(call.relay_caller.endpoint(), data);
        REQUIRE(call.callee.receive() == data);
    }
}

/// Without offloads checksums are really computed, and verified by the receiver. `link` is "a" or
/// "b", the caller's or the callee's.
void compute_checksums(const KernelLab& lab, const std::string& link)
{
    lab.run("ethtool -K r" + link + " tx off rx off");
    lab.run_at_phones("ethtool -K p" + link + " tx off rx off");
}

void compute_checksums(const KernelLab& lab)
{
    compute_checksums(lab, "a");
    compute_checksums(lab, "b");
}

} // namespace

TEST_CASE("fragmented packets arrive whole")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    CAPTURE(hook, family);
    const KernelLab lab;
    for (const char* device : {"ra", "rb"})
        lab.run(std::string("ip link set mtu 1500 dev ") + device);
    for (const char* device : {"pa", "pb"})
        lab.run_at_phones(std::string("ip link set mtu 1500 dev ") + device);
    const LabCall call(lab, family);
    call.greet();
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    for (const std::size_t size : {1473, 4000, 9000}) {
        const std::string data(size, 'f');
        call.caller.send(call.relay_caller.endpoint(), data);
        if (hook == Hook::devices) { // where they are not put together they are the host's
            CHECK(call.relay_caller.receive() == data);
        } else {
            mp_endpoint from{};
            CHECK(call.callee.receive(from) == data);
            CHECK(same(from, call.relay_callee.endpoint()));
        }
    }
    check_forwards(call);
    CHECK(host->remove(1).from_caller.packets == (hook == Hook::devices ? 1 : 4));
}

TEST_CASE("on devices, what is too long for the way out is the relay's, also when an MTU changes")
{
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const KernelLab lab;
    const LabCall call(lab, family);
    call.greet();
    const auto host = start(lab, settings_for(Hook::devices));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    const std::string data(4000, 'l');
    call.caller.send(call.relay_caller.endpoint(), data);
    REQUIRE(call.callee.receive() == data);

    lab.run("ip link set rb mtu 1500");
    lab.run_at_phones("ip link set pb mtu 1500");
    const std::string rule = family == Family::ipv4 ? "ip length <= 1500" : "ip6 length <= 1460";
    REQUIRE(host->await([&] {
        return lab.run("nft list table netdev mediaproxyd_test").find(rule) != std::string::npos;
    }));
    call.caller.send(call.relay_caller.endpoint(), data);
    CHECK(call.relay_caller.receive() == data);
    const std::size_t fits = family == Family::ipv4 ? 1472 : 1452;
    REQUIRE(host->await([&] { // its element is put back in a later turn
        call.caller.send(call.relay_caller.endpoint(), std::string(fits, 'f'));
        return call.callee.receive(20) == std::string(fits, 'f');
    }));
    CHECK(host->lost().empty());
}

TEST_CASE("checksums are right where they are computed and verified")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const KernelLab lab;
    compute_checksums(lab);
    every_size_arrives(lab, hook, family);
}

TEST_CASE("checksums are right that the sender left to its device and are computed on the way out")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    CAPTURE(hook, family);
    const KernelLab lab;
    compute_checksums(lab, "b");
    every_size_arrives(lab, hook, family);
}

TEST_CASE("a packet without a UDP checksum stays without")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const KernelLab lab;
    compute_checksums(lab);
    const LabCall call(lab);
    call.greet();
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    send_raw(lab, call, "no checksum", 0);
    CHECK(call.callee.receive() == "no checksum");
    CHECK(host->remove(1).from_caller.packets == 1);
}

TEST_CASE("a packet that was damaged on its way is not mended")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const KernelLab lab;
    compute_checksums(lab);
    const LabCall call(lab);
    call.greet();
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    send_raw(lab, call, "damaged", htons(0x1234));
    check_forwards(call); // the next one the callee hears
}

TEST_CASE("a packet with IP options is forwarded")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const KernelLab lab;
    compute_checksums(lab);
    const LabCall call(lab);
    call.greet();
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    const unsigned char nothing[] = {IPOPT_NOP, IPOPT_NOP, IPOPT_NOP, IPOPT_EOL};
    REQUIRE(setsockopt(call.caller.fd(), IPPROTO_IP, IP_OPTIONS, nothing, sizeof nothing) == 0);
    call.caller.send(call.relay_caller.endpoint(), "with options");
    CHECK(call.callee.receive() == "with options");
    CHECK(host->remove(1).from_caller.packets == 1);
}

TEST_CASE("a packet whose TTL has come to its end is the relay's, which may pass it on")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const KernelLab lab;
    const LabCall call(lab, family);
    call.greet();
    const auto host = start(lab, settings_for(hook));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    const bool v4 = family == Family::ipv4;
    set_option(call.caller, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_UNICAST_HOPS, 1);
    call.caller.send(call.relay_caller.endpoint(), "the last hop");
    CHECK(call.relay_caller.receive() == "the last hop");
    set_option(call.caller, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_TTL : IPV6_UNICAST_HOPS, 2);
    call.caller.send(call.relay_caller.endpoint(), "the last but one");
    CHECK(call.callee.receive() == "the last but one");
}

TEST_CASE("a relay with one arm: both phones behind one device, and no ICMP to either")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const KernelLab lab;
    for (const char* device : {"all", "ra"})
        KernelLab::set_sysctl(std::string("net/ipv4/conf/") + device + "/send_redirects", "1");
    const UdpPhone caller = lab.phone("10.71.1.2"), callee = lab.phone("10.71.1.3");
    const UdpPhone relay_caller = lab.relay_socket("10.71.1.1"),
                   relay_callee = lab.relay_socket("10.71.1.1");
    relay_caller.send(caller.endpoint(), "hello");
    relay_callee.send(callee.endpoint(), "hello");
    REQUIRE(caller.receive());
    REQUIRE(callee.receive());
    mp_flow flow{};
    flow.struct_size = sizeof flow;
    flow.id = 1;
    flow.caller_remote = caller.endpoint();
    flow.caller_local = relay_caller.endpoint();
    flow.callee_local = relay_callee.endpoint();
    flow.callee_remote = callee.endpoint();
    flow.dscp = 255;
    const auto host = start(lab, settings_for(hook));
    const int icmp = lab.raw_socket_at_phones(IPPROTO_ICMP);
    REQUIRE(host->install(flow) == MP_OK);
    for (int i = 0; i < 20; ++i) {
        mp_endpoint from{};
        caller.send(relay_caller.endpoint(), "there");
        REQUIRE(callee.receive(from) == "there");
        CHECK(same(from, relay_callee.endpoint()));
        callee.send(relay_callee.endpoint(), "back");
        REQUIRE(caller.receive() == "back");
    }
    CHECK(host->remove(1).from_caller.packets == 20);
    std::array<char, 256> buffer;
    CHECK(recv(icmp, buffer.data(), buffer.size(), MSG_DONTWAIT) < 0);
    close(icmp);
}

TEST_CASE(
    "a phone on the relay's own host is served by the relay, its peer's packets by the kernel")
{
    const KernelLab lab;
    const UdpPhone inside = lab.relay_socket("10.71.1.1");
    const LabCall call(lab);
    mp_flow flow = call.flow(1);
    flow.caller_remote = inside.endpoint();
    const auto host = start(lab);
    REQUIRE(host->install(flow) == MP_OK);
    inside.send(call.relay_caller.endpoint(), "from inside");
    CHECK(call.relay_caller.receive() == "from inside");
    call.callee.send(call.relay_callee.endpoint(), "from outside");
    CHECK(inside.receive() == "from outside");
}
