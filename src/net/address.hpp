// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mediaproxy::net
{

enum class Family : std::uint8_t { none = 0, v4 = 4, v6 = 6 };

/// An IPv4 or IPv6 address as a value, bytes in network order. The default one is "none".
class Address
{
public:
    constexpr Address() = default;
    static constexpr Address v4(std::array<std::uint8_t, 4> bytes) noexcept
    {
        Address address;
        address.family_ = Family::v4;
        for (std::size_t i = 0; i < 4; ++i)
            address.bytes_[i] = bytes[i];
        return address;
    }
    static constexpr Address v6(const std::array<std::uint8_t, 16>& bytes) noexcept
    {
        Address address;
        address.family_ = Family::v6;
        address.bytes_ = bytes;
        return address;
    }
    /// Textual forms of RFC 4291 (unbracketed) and dotted quads; nothing else: no names, no zones.
    /// An IPv4-mapped IPv6 address becomes the IPv4 address.
    static Result<Address> parse(std::string_view text);

    constexpr Family family() const noexcept { return family_; }
    constexpr bool is_v4() const noexcept { return family_ == Family::v4; }
    constexpr bool is_v6() const noexcept { return family_ == Family::v6; }
    constexpr explicit operator bool() const noexcept { return family_ != Family::none; }
    /// 4 or 16 bytes are meaningful.
    constexpr const std::array<std::uint8_t, 16>& bytes() const noexcept { return bytes_; }
    constexpr unsigned bits() const noexcept { return is_v4() ? 32 : is_v6() ? 128 : 0; }

    bool is_unspecified() const noexcept; ///< 0.0.0.0 or ::
    bool is_loopback() const noexcept;    ///< 127/8 or ::1
    bool is_multicast() const noexcept;   ///< 224/4, ff00::/8, and the IPv4 broadcast address

    std::string to_string() const;
    friend constexpr auto operator<=>(const Address&, const Address&) = default;
    friend constexpr bool operator==(const Address&, const Address&) = default;

private:
    Family family_ = Family::none;
    std::array<std::uint8_t, 16> bytes_{};
};

} // namespace mediaproxy::net

template <>
struct std::hash<mediaproxy::net::Address> {
    std::size_t operator()(const mediaproxy::net::Address& address) const noexcept;
};
