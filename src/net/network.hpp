// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "net/address.hpp"

namespace mediaproxy::net
{

/// A network in CIDR notation (RFC 4632).
struct Network {
    Address base;
    std::uint8_t prefix = 0; ///< bits

    bool contains(const Address& address) const noexcept;
    std::string to_string() const;
    friend bool operator==(const Network&, const Network&) = default;
};

/// `10.0.0.0/8`, `fd00::/8`, or an address alone; bits behind the prefix must be zero.
Result<Network> parse_network(std::string_view text);

/// Not in one of RFC 6890's special ranges that no packet from the Internet may go to.
bool is_global(const Address& address) noexcept;

/// May media be sent to this signalled address before anything was heard from it: it is global, or
/// inside one of the operator's `routable_private_ranges`, and never multicast or unspecified.
bool is_routable(const Address& address, std::span<const Network> private_ranges) noexcept;

} // namespace mediaproxy::net
