// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <mediaproxy/plugin.h>

namespace forwarding_nftables
{

/// Whether the host's own firewall rules are looked at before flows are forwarded past it.
enum class ForwardChain { check, trust };

/// What the plugin's own TOML table may say.
struct Settings {
    std::vector<std::string> devices; ///< none: prerouting of all devices
    std::uint32_t map_size = 65536;   ///< elements of each family; a flow takes two
    ForwardChain forward_chain = ForwardChain::check;
    bool keeps_early_demux = false; ///< of the host; else it is off while we run

    bool on_devices() const noexcept { return !devices.empty(); }
};

/// Nothing when a setting is wrong; `error` then names it.
std::optional<Settings> parse_settings(const mp_setting* settings, std::uint32_t count,
                                       mp_error& error);

} // namespace forwarding_nftables
