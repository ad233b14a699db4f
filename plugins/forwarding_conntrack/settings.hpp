// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>

#include <mediaproxy/plugin.h>

namespace forwarding_conntrack
{

/// What is done about a forward chain that would drop what we forward.
enum class ForwardChain { check, trust };

struct PortRange {
    std::uint16_t first, last;
};

/// What the plugin's own TOML table may say.
struct Settings {
    std::uint16_t zone = 19792; ///< of connection tracking, for our entries alone; never 0
    std::uint32_t mark = 0;     ///< of our entries; 0 = made from the owner's name
    ForwardChain forward_chain = ForwardChain::check;
    bool keeps_early_demux = false;           ///< of the host; else it is off while we run
    std::optional<PortRange> untracked_ports; ///< the relay's, when nobody else uses them
};

/// Nothing when a setting is wrong; `error` then names it.
std::optional<Settings> parse_settings(const mp_setting* settings, std::uint32_t count,
                                       mp_error& error);

} // namespace forwarding_conntrack
