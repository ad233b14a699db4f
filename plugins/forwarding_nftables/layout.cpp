// SPDX-License-Identifier: GPL-2.0-or-later
#include "layout.hpp"

#include <cstdio>

#include <linux/netfilter.h>

namespace forwarding_nftables
{
namespace
{

constexpr unsigned version = 2; ///< of what ruleset.cpp builds and elements.cpp encodes
constexpr std::size_t longest_owner = 96;
constexpr std::size_t longest_comment = 120; // nft shows 127

bool is_plain(char letter) noexcept
{
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
           (letter >= '0' && letter <= '9');
}

std::string hash_of(std::string_view text)
{
    std::uint64_t hash = 0xcbf29ce484222325; // FNV-1a: the same in every build
    for (const char letter : text)
        hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(hash >> 32 ^ hash));
    return digits;
}

/// An identifier of nft's grammar; different ones for different owners.
std::string identifier(std::string_view owner)
{
    std::string result(owner.substr(0, longest_owner));
    for (char& letter : result)
        letter = is_plain(letter) ? letter : '_';
    return result == owner ? result : result + '_' + hash_of(owner);
}

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
        result = result.substr(0, longest_comment - 9) + " " + hash_of(devices);
    return result;
}

} // namespace

Layout::Layout(std::string_view owner, Settings settings)
    : settings_(std::move(settings)), table_(std::string(table_prefix) + identifier(owner)),
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
