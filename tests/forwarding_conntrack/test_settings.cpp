// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "lab.hpp"

using namespace conntrack_test;

TEST_CASE("the plugin says who it is")
{
    const Lab lab;
    PluginHost host(PLUGIN_PATH, {});
    CHECK(std::string(host.plugin().name) == "conntrack");
    CHECK(host.plugin().abi == MP_ABI_VERSION);
    CHECK(host.plugin().get_interface("mp.forwarding/2") == nullptr);
    CHECK(host.flags() == MP_FORWARDING_OUTLIVES_PROCESS);
    std::vector<std::string> keys;
    for (const auto* key = host.plugin().setting_keys; *key != nullptr; ++key)
        keys.emplace_back(*key);
    CHECK(keys == std::vector<std::string>{"zone", "mark", "forward_chain", "early_demux",
                                           "untracked_ports"});
}

TEST_CASE("a wrong setting is refused with a sentence that names it")
{
    const Lab lab;
    const auto [key, value, expected] = GENERATE(table<const char*, const char*, const char*>({
        {"zone", "0", "a number from 1 to 65535"},
        {"zone", "65536", "a number from 1 to 65535"},
        {"mark", "0", "a number of 32 bits, not 0"},
        {"mark", "0xfffffffff", "a number of 32 bits, not 0"},
        {"mark", "red", "a number of 32 bits, not 0"},
        {"forward_chain", "ignore", "\"check\" or \"trust\""},
        {"early_demux", "on", "\"off\" or \"keep\""},
        {"untracked_ports", "40000", "START:END, from 1024 to 65536"},
        {"untracked_ports", "50000:40000", "START:END, from 1024 to 65536"},
        {"untracked_ports", "80:60000", "START:END, from 1024 to 65536"},
        {"speed", "9", "left out: there is no such setting"},
    }));
    try {
        PluginHost host(PLUGIN_PATH, {{key, value}});
        FAIL("accepted");
    } catch (const Refused& refused) {
        CHECK(refused.status == MP_E_INVALID);
        CHECK(std::string(refused.what()) ==
              std::string(key) + " = \"" + value + "\": it must be " + expected);
    }
}

TEST_CASE("zone and mark of the entries are the settings'")
{
    const Lab lab;
    PluginHost host(PLUGIN_PATH, {{"zone", "7"}, {"mark", "0xbeef"}});
    host.adopt({});
    const LabCall call(lab);
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    const std::string entries = Lab::ask("conntrack -L -w 7 2>/dev/null");
    CHECK(entries.find("mark=48879") != std::string::npos);
    call.caller.send(call.relay_caller.endpoint(), "hello");
    CHECK(call.callee.receive() == "hello");
}

TEST_CASE("a flow that cannot be forwarded is refused alone, with its reason")
{
    const Lab lab;
    PluginHost host(PLUGIN_PATH, {});
    host.adopt({});
    const LabCall call(lab), six(lab, Family::ipv6);
    std::string message;
    mp_flow flow = call.flow(1);
    const auto refused = [&](mp_status status, const std::string& reason) {
        CHECK(host.install(flow, &message) == status);
        CHECK(message == "flow 1: " + reason);
        flow = call.flow(1);
    };
    flow.dscp = 46;
    refused(MP_E_UNSUPPORTED, "a DSCP value cannot be set");
    flow.mark = 1;
    refused(MP_E_UNSUPPORTED, "a packet mark cannot be set");
    flow.callee_remote = six.callee.endpoint();
    flow.callee_local = six.relay_callee.endpoint();
    refused(MP_E_UNSUPPORTED, "one side speaks IPv4, the other IPv6");
    flow.caller_remote.address[0] = 127;
    refused(MP_E_UNSUPPORTED, "loopback and link-local addresses cannot be forwarded");
    flow.caller_remote.family = 0;
    refused(MP_E_INVALID, "its endpoints are not usable");
    flow.callee_local = flow.caller_local;
    refused(MP_E_INVALID, "both sides have the same local port");

    mp_flow bad = call.flow(2);
    bad.dscp = 46;
    CHECK(host.install({bad, call.flow(1)}) == std::vector<mp_status>{MP_E_UNSUPPORTED, MP_OK});
    refused(MP_E_INVALID, "it or one of its ports is installed already");
}
