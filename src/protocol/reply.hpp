// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "net/address.hpp"
#include "net/endpoint.hpp"

namespace mediaproxy::protocol
{

/// The answer to an update with media: the relay's address and one RTP port for each stream.
struct Ports {
    net::Address address;
    std::vector<net::Port> rtp; ///< 0 for a stream that is closed or rejected
};

/// `IP PORT PORT ...` without a line end.
void format_ports(std::string& out, const Ports& ports);
/// Nothing when it is not of that form (`None`, `error`, garbage).
std::optional<Ports> parse_ports(std::string_view line);

/// A line from a relay: `SEQ RESULT`, `ping`, `expired JSON`, or something unknown.
struct RelayLine {
    enum class Kind { answer, ping, expired, unknown };
    Kind kind = Kind::unknown;
    std::uint64_t seq = 0;
    std::string_view text; ///< the result, the JSON, or the whole line when unknown
};
RelayLine parse_relay_line(std::string_view line) noexcept;

inline constexpr std::string_view answer_error = "error";
inline constexpr std::string_view answer_removed = "removed";
inline constexpr std::string_view answer_halting = "halting";
inline constexpr std::string_view line_end = "\r\n";

} // namespace mediaproxy::protocol
