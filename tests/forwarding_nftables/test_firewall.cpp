// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <chrono>
#include <fstream>
#include <linux/netfilter/nf_tables.h>

#include "../forwarding/netlink_tap.hpp"
#include "nftables.hpp"

using namespace forwarding_test;

namespace
{

void load_rules(const KernelLab& lab, const std::string& rules)
{
    const std::string path = lab.state_dir() + "/rules.nft";
    std::ofstream(path) << rules;
    lab.run("nft -f " + path);
}

std::string forward_chain(const std::string& rules, const std::string& policy)
{
    return "table inet guard {\n chain guarding {\n type filter hook forward priority 0; policy " +
           policy + ";\n" + rules + "\n }\n}\n";
}

/// What firewalld makes of a zone, in short.
const char* const firewalld = R"(
table inet firewalld {
    chain filter_PREROUTING {
        type filter hook prerouting priority filter + 10; policy accept;
        meta nfproto ipv6 fib saddr . mark . iif oif missing drop
    }
    chain policies { iifname "ra" jump zone; jump zone; }
    chain zone { counter; }
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        ct state invalid drop
        jump policies
        reject with icmpx admin-prohibited
    }
}
)";

/// Whether the kernel lets media through these rules, with the back end told to trust them.
bool really_forwards(const KernelLab& lab, Family family)
{
    const LabCall call(lab, family);
    const auto host = start(lab, {{"forward_chain", "trust"}});
    call.greet();
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    call.caller.send(call.relay_caller.endpoint(), "through?");
    return call.callee.receive(200).has_value();
}

bool is_taken(const KernelLab& lab, Family family)
{
    try {
        const auto host = start(lab);
        const LabCall call(lab, family);
        return host->install(call.flow(1)) == MP_OK;
    } catch (const Refused&) {
        return false;
    }
}

/// Readings, as the daemon asks for them once a second, until `reached`.
template <class Reached>
bool read_until(PluginHost& host, Reached&& reached)
{
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < end) {
        host.read();
        if (reached())
            return true;
    }
    return false;
}

} // namespace

TEST_CASE("what is said of forward chains is what the kernel does")
{
    const auto [rules, forwards] = GENERATE(table<std::string, bool>({
        {forward_chain("", "accept"), true},
        {forward_chain("", "drop"), false},
        {forward_chain("ct state untracked accept", "drop"), true},
        {forward_chain("ct state established,related accept", "drop"), false},
        {forward_chain("ct state untracked,established counter accept", "drop"), true},
        {forward_chain("counter drop", "accept"), false},
        {forward_chain("reject", "accept"), false},
        {forward_chain("ct state invalid drop", "accept"), true},
        {forward_chain("ct state != untracked drop", "accept"), true},
        {forward_chain("meta l4proto tcp drop", "accept"), true},
        {forward_chain("meta l4proto udp accept", "drop"), true},
        {forward_chain("iifname \"other\" drop", "accept"), true},
        {forward_chain("ct state untracked return\n accept", "drop"), false},
        {"table inet guard { chain inner { ct state untracked accept; }\n }\n" +
             forward_chain("jump inner\n drop", "accept"),
         true},
        {"table inet guard { chain inner { drop; }\n }\n" + forward_chain("goto inner", "accept"),
         false},
        {"table ip guard { chain post { type filter hook postrouting priority 0; "
         "ct state untracked drop; }\n }\n",
         false},
        {"table ip guard { chain pre { type filter hook prerouting priority -150; "
         "fib saddr . iif oif missing drop; }\n }\n",
         false},
        {"table ip guard { chain pre { type filter hook prerouting priority -150; "
         "fib saddr . iif oif exists accept; }\n }\n",
         true},
    }));
    CAPTURE(rules);
    const KernelLab lab;
    load_rules(lab, rules);
    CHECK(really_forwards(lab, Family::ipv4) == forwards);
    CHECK(is_taken(lab, Family::ipv4) == forwards);
}

TEST_CASE(
    "firewalld is recognised: it rejects what is forwarded, and IPv6 by its reverse path check")
{
    const KernelLab lab;
    load_rules(lab, firewalld);
    CHECK_FALSE(really_forwards(lab, Family::ipv4));
    CHECK_FALSE(is_taken(lab, Family::ipv4));
    lab.run("nft insert rule inet firewalld filter_FORWARD ct state untracked accept");
    CHECK(really_forwards(lab, Family::ipv4));
    CHECK(is_taken(lab, Family::ipv4));
    CHECK_FALSE(really_forwards(lab, Family::ipv6));
    CHECK_FALSE(is_taken(lab, Family::ipv6));
    lab.run("nft flush chain inet firewalld filter_PREROUTING"); // IPv6_rpfilter=no
    CHECK(really_forwards(lab, Family::ipv6));
    CHECK(is_taken(lab, Family::ipv6));
}

TEST_CASE("rules of iptables are understood")
{
    const KernelLab lab;
    lab.run("iptables-nft -P FORWARD DROP");
    CHECK_FALSE(is_taken(lab, Family::ipv4));
    lab.run("iptables-nft -N DOCKER-USER");
    lab.run("iptables-nft -A FORWARD -m comment --comment docker -j DOCKER-USER");
    lab.run("iptables-nft -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT");
    CHECK_FALSE(is_taken(lab, Family::ipv4));
    lab.run("iptables-nft -A DOCKER-USER -m conntrack --ctstate UNTRACKED -j ACCEPT");
    CHECK(is_taken(lab, Family::ipv4));
    CHECK(really_forwards(lab, Family::ipv4));
}

TEST_CASE("rules of iptables-legacy, which cannot be looked at, are warned of")
{
    const KernelLab lab;
    for (const std::string& line : start(lab)->log())
        CHECK(line.find("iptables-legacy") == std::string::npos);
    lab.run("iptables-legacy -P FORWARD ACCEPT");
    const auto log = start(lab)->log();
    REQUIRE_FALSE(log.empty());
    CHECK(log.front().find("iptables-legacy filters packets here") == 0);
}

TEST_CASE("the sentence tells which chain and what to do")
{
    const KernelLab lab;
    load_rules(lab, forward_chain("", "drop"));
    try {
        start(lab);
        FAIL("was taken");
    } catch (const Refused& refused) {
        CHECK(refused.what() ==
              std::string(
                  "the chain inet guard guarding (hook forward) drops forwarded IPv4 media; add "
                  "\"ct state untracked accept\" to it, or set devices, or forward_chain = "
                  "\"trust\" if it lets media through"));
    }
}

TEST_CASE("when a firewall begins to drop, flows come back to the slow path, until it is mended")
{
    const KernelLab lab;
    const LabCall call(lab);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    host->read();
    load_rules(lab, forward_chain("", "drop"));
    REQUIRE(read_until(*host, [&] { return !host->lost().empty(); }));
    CHECK(host->lost() == std::vector<mp_flow_id>{1});
    host->remove(1);
    std::string message;
    CHECK(host->install(call.flow(2), &message) == MP_E_AGAIN);
    CHECK(message.find("the chain inet guard guarding") != std::string::npos);
    call.caller.send(call.relay_caller.endpoint(), "slow");
    CHECK(call.relay_caller.receive() == "slow");

    lab.run("nft add rule inet guard guarding ct state untracked accept");
    REQUIRE(read_until(*host, [&] { return host->install(call.flow(3)) == MP_OK; }));
    check_forwards(call);
}

TEST_CASE("rules that the kernel does not tell change nothing, and are looked at again")
{
    const auto how = GENERATE(BadDump::refused, BadDump::given_up, BadDump::interrupted);
    CAPTURE(static_cast<int>(how));
    const KernelLab lab;
    const LabCall call(lab);
    const auto host = start(lab);
    const auto until_not_told = [&](const std::string& rules, std::uint16_t type) {
        NetlinkTap tap;
        load_rules(lab, "add table inet guard\ndelete table inet guard\n" + rules);
        tap.spoil(type, how);
        const auto told = host->log().size();
        return read_until(*host, [&] {
            const auto log = host->log();
            return std::any_of(log.begin() + static_cast<std::ptrdiff_t>(told), log.end(),
                               [](const std::string& line) {
                                   return line.find("does not tell") != std::string::npos;
                               });
        });
    };
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    REQUIRE(until_not_told(forward_chain("ct state untracked accept", "drop"), NFT_MSG_GETRULE));
    CHECK(host->lost().empty());
    REQUIRE(until_not_told(forward_chain("", "drop"), NFT_MSG_GETCHAIN));
    CHECK(host->lost().empty());

    REQUIRE(read_until(*host, [&] { return !host->lost().empty(); }));
    host->remove(1);
    REQUIRE(until_not_told("", NFT_MSG_GETCHAIN));
    CHECK(host->install(call.flow(2)) == MP_E_AGAIN);
    REQUIRE(read_until(*host, [&] { return host->install(call.flow(3)) == MP_OK; }));
    check_forwards(call);
}

TEST_CASE("on devices a forward chain that drops everything does not matter")
{
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const KernelLab lab;
    const LabCall call(lab, family);
    call.greet();
    load_rules(lab, forward_chain("", "drop"));
    const auto host = start(lab, settings_for(Hook::devices));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    check_forwards(call);
}
