// SPDX-License-Identifier: GPL-2.0-or-later
#include "protocol/reply.hpp"

#include <charconv>

#include "base/text.hpp"

namespace mediaproxy::protocol
{

void format_ports(std::string& out, const Ports& ports)
{
    out += ports.address.to_string();
    char digits[8];
    for (const net::Port port : ports.rtp) {
        const auto end = std::to_chars(digits, digits + sizeof digits, port).ptr;
        out.append(" ").append(digits, end);
    }
}

std::optional<Ports> parse_ports(std::string_view line)
{
    const std::size_t blank = line.find(' ');
    auto address = net::Address::parse(line.substr(0, blank));
    if (!address || address->is_unspecified())
        return std::nullopt;
    Ports ports{*address, {}};
    if (blank == std::string_view::npos)
        return ports;
    std::string_view rest = line.substr(blank + 1);
    for (;;) {
        const std::size_t end = rest.find(' ');
        const auto port = text::parse_number<net::Port>(rest.substr(0, end));
        if (!port || ports.rtp.size() == 1024)
            return std::nullopt;
        ports.rtp.push_back(*port);
        if (end == std::string_view::npos)
            return ports;
        rest.remove_prefix(end + 1);
    }
}

RelayLine parse_relay_line(std::string_view line) noexcept
{
    if (line == "ping")
        return {RelayLine::Kind::ping, 0, {}};
    const std::size_t blank = line.find(' ');
    if (blank == std::string_view::npos)
        return {RelayLine::Kind::unknown, 0, line};
    const std::string_view first = line.substr(0, blank), rest = line.substr(blank + 1);
    if (first == "expired")
        return {RelayLine::Kind::expired, 0, rest};
    if (const auto seq = text::parse_number<std::uint64_t>(first))
        return {RelayLine::Kind::answer, *seq, rest};
    return {RelayLine::Kind::unknown, 0, line};
}

} // namespace mediaproxy::protocol
