// SPDX-License-Identifier: GPL-2.0-or-later
#include "layout.hpp"

#include <linux/netfilter.h>

#include "support/owner_tables.hpp"

namespace forwarding_nftables
{
namespace
{

constexpr unsigned version = 2; ///< of what ruleset.cpp builds and elements.cpp encodes
constexpr std::size_t longest_comment = 120; // nft shows 127

std::string describe(const Settings& settings)
{
    std::string devices;
    for (const std::string& device : settings.devices)
        devices += " " + device;
    std::string result = "media of mediaproxyd; layout " + std::to_string(version) + ", map_size " +
                         std::to_string(settings.map_size);
    if (!devices.empty())
        result += ", devices" + devices;
    if (result.size() > longest_comment)
        result = result.substr(0, longest_comment - 9) + " " +
                 mediaproxy::plugin_support::digest(devices);
    return result;
}

} // namespace

Layout::Layout(std::string_view owner, Settings settings)
    : settings_(std::move(settings)), table_(mediaproxy::plugin_support::nftables_table(owner)),
      comment_(describe(settings_))
{
}

MapPlace Layout::place(Family family) const noexcept
{
    const bool v4 = family == Family::ipv4;
    if (settings_.on_devices())
        return {NFPROTO_NETDEV, table_.c_str(), v4 ? "flows" : "flows6"};
    return {static_cast<std::uint8_t>(v4 ? NFPROTO_IPV4 : NFPROTO_IPV6), table_.c_str(), "flows"};
}

} // namespace forwarding_nftables
