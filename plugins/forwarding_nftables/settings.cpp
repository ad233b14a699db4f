// SPDX-License-Identifier: GPL-2.0-or-later
#include "settings.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include <net/if.h>

#include "support/failure.hpp"
#include "support/sysctls.hpp"

namespace forwarding_nftables
{
namespace
{

constexpr std::uint32_t smallest_map = 16;
constexpr std::uint32_t largest_map = 1 << 22;

bool parse_device(std::string_view text, std::vector<std::string>& devices)
{
    if (text.empty() || text.size() >= IFNAMSIZ || text == "lo" ||
        std::find(devices.begin(), devices.end(), text) != devices.end())
        return false;
    devices.emplace_back(text);
    return true;
}

bool parse_map_size(std::string_view text, std::uint32_t& size)
{
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), size);
    return problem == std::errc{} && end == text.data() + text.size() && size >= smallest_map &&
           size <= largest_map;
}

bool parse_forward_chain(std::string_view text, ForwardChain& choice)
{
    if (text != "check" && text != "trust")
        return false;
    choice = text == "check" ? ForwardChain::check : ForwardChain::trust;
    return true;
}

/// What the value must be when it is not allowed.
const char* apply(const mp_setting& setting, Settings& result)
{
    const std::string_view key = setting.key;
    if (key == "devices")
        return parse_device(setting.value, result.devices)
                   ? nullptr
                   : "the name of a network device, not \"lo\", each once";
    if (key == "map_size")
        return parse_map_size(setting.value, result.map_size) ? nullptr
                                                              : "a number from 16 to 4194304";
    if (key == "early_demux")
        return mediaproxy::plugin_support::parse_early_demux(setting.value,
                                                             result.keeps_early_demux)
                   ? nullptr
                   : "\"off\" or \"keep\"";
    if (key == "forward_chain")
        return parse_forward_chain(setting.value, result.forward_chain) ? nullptr
                                                                        : "\"check\" or \"trust\"";
    return "left out: there is no such setting";
}

} // namespace

std::optional<Settings> parse_settings(const mp_setting* settings, std::uint32_t count,
                                       mp_error& error)
{
    Settings result;
    for (std::uint32_t i = 0; i < count; ++i) {
        const char* expected = apply(settings[i], result);
        if (expected == nullptr)
            continue;
        mediaproxy::plugin_support::fail(&error, MP_E_INVALID,
                                         std::string(settings[i].key) + " = \"" +
                                             std::string(settings[i].value).substr(0, 80) +
                                             "\": it must be " + expected);
        return std::nullopt;
    }
    return result;
}

} // namespace forwarding_nftables
