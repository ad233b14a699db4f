// SPDX-License-Identifier: GPL-2.0-or-later
#include "settings.hpp"

#include <charconv>
#include <string>
#include <string_view>

#include "support/failure.hpp"
#include "support/sysctls.hpp"

namespace forwarding_conntrack
{
namespace
{

template <typename Number>
bool parse_number(std::string_view text, Number& number, int base = 10)
{
    const auto [end, problem] =
        std::from_chars(text.data(), text.data() + text.size(), number, base);
    return problem == std::errc{} && end == text.data() + text.size();
}

bool parse_mark(std::string_view text, std::uint32_t& mark)
{
    const bool hexadecimal = text.starts_with("0x");
    return parse_number(hexadecimal ? text.substr(2) : text, mark, hexadecimal ? 16 : 10) &&
           mark != 0;
}

bool parse_forward_chain(std::string_view text, ForwardChain& choice)
{
    if (text != "check" && text != "trust")
        return false;
    choice = text == "check" ? ForwardChain::check : ForwardChain::trust;
    return true;
}

/// As [relay] port_range writes it: the end is not used any more.
bool parse_ports(std::string_view text, std::optional<PortRange>& ports)
{
    const std::size_t colon = text.find(':');
    std::uint32_t start = 0, end = 0;
    if (colon == std::string_view::npos || !parse_number(text.substr(0, colon), start) ||
        !parse_number(text.substr(colon + 1), end) || start < 1024 || end <= start || end > 65536)
        return false;
    ports = PortRange{static_cast<std::uint16_t>(start), static_cast<std::uint16_t>(end - 1)};
    return true;
}

const char* apply(const mp_setting& setting, Settings& result)
{
    const std::string_view key = setting.key, value = setting.value;
    if (key == "zone")
        return parse_number(value, result.zone) && result.zone != 0 ? nullptr
                                                                    : "a number from 1 to 65535";
    if (key == "mark")
        return parse_mark(value, result.mark) ? nullptr : "a number of 32 bits, not 0";
    if (key == "early_demux")
        return mediaproxy::plugin_support::parse_early_demux(value, result.keeps_early_demux)
                   ? nullptr
                   : "\"off\" or \"keep\"";
    if (key == "forward_chain")
        return parse_forward_chain(value, result.forward_chain) ? nullptr
                                                                : "\"check\" or \"trust\"";
    if (key == "untracked_ports")
        return parse_ports(value, result.untracked_ports) ? nullptr
                                                          : "START:END, from 1024 to 65536";
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
                                             settings[i].value + "\": it must be " + expected);
        return std::nullopt;
    }
    return result;
}

} // namespace forwarding_conntrack
