// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "net/address.hpp"

namespace mediaproxy::net
{

using Port = std::uint16_t; ///< host order

/// Address and UDP or TCP port. The default one is "not known".
struct Endpoint {
    Address address;
    Port port = 0;

    constexpr explicit operator bool() const noexcept { return static_cast<bool>(address); }
    /// `192.0.2.1:5000`, `[2001:db8::1]:5000`.
    std::string to_string() const;
    /// `ip:port` as in MediaProxy's records (IPv6 unbracketed), `Unknown` when not known.
    std::string to_record() const;
    friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
    friend constexpr bool operator==(const Endpoint&, const Endpoint&) = default;
};

/// `ip:port` or `[ip6]:port`.
Result<Endpoint> parse_endpoint(std::string_view text);

} // namespace mediaproxy::net
