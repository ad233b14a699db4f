// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>

#include <catch2/catch.hpp>

#include "../forwarding/kernel_lab.hpp"
#include "../forwarding/plugin_host.hpp"

namespace forwarding_test
{

enum class Hook { prerouting, devices };

inline SettingList settings_for(Hook hook, SettingList more = {})
{
    if (hook == Hook::devices) {
        more.emplace_back("devices", "ra");
        more.emplace_back("devices", "rb");
    }
    return more;
}

/// A daemon with this back end that has started: nothing was left by a predecessor.
inline std::unique_ptr<PluginHost> start(const KernelLab& lab, SettingList settings = {},
                                         const std::string& owner = "test")
{
    auto host =
        std::make_unique<PluginHost>(PLUGIN_PATH, settings, HostIdentity{owner, lab.state_dir()});
    host->adopt({});
    return host;
}

/// Caller to callee and back, each packet past the relay's sockets.
inline void check_forwards(const LabCall& call)
{
    mp_endpoint from{};
    call.caller.send(call.relay_caller.endpoint(), "to the callee");
    REQUIRE(call.callee.receive(from) == "to the callee");
    CHECK(same(from, call.relay_callee.endpoint()));
    call.callee.send(call.relay_callee.endpoint(), "to the caller");
    REQUIRE(call.caller.receive(from) == "to the caller");
    CHECK(same(from, call.relay_caller.endpoint()));
}

} // namespace forwarding_test
