// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/network.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace mediaproxy::net
{

namespace
{

constexpr Network v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t prefix)
{
    return Network{Address::v4({a, b, c, 0}), prefix};
}

constexpr Network v6(std::uint16_t a, std::uint16_t b, std::uint16_t c, std::uint8_t prefix)
{
    const auto high = [](std::uint16_t word) { return static_cast<std::uint8_t>(word >> 8); };
    const auto low = [](std::uint16_t word) { return static_cast<std::uint8_t>(word & 0xff); };
    return Network{Address::v6({high(a), low(a), high(b), low(b), high(c), low(c)}), prefix};
}

// RFC 6890 with the updates of RFC 8190; multicast is judged apart.
constexpr Network special_v4[] = {
    v4(0, 0, 0, 8),      v4(10, 0, 0, 8),     v4(100, 64, 0, 10), v4(127, 0, 0, 8),
    v4(169, 254, 0, 16), v4(172, 16, 0, 12),  v4(192, 0, 0, 24),  v4(192, 0, 2, 24),
    v4(192, 88, 99, 24), v4(192, 168, 0, 16), v4(198, 18, 0, 15), v4(198, 51, 100, 24),
    v4(203, 0, 113, 24), v4(240, 0, 0, 4),
};
constexpr Network special_v6[] = {
    v6(0, 0, 0, 127),         v6(0x64, 0xff9b, 1, 48), v6(0x100, 0, 0, 64), v6(0x2001, 0, 0, 23),
    v6(0x2001, 0xdb8, 0, 32), v6(0x2002, 0, 0, 16),    v6(0xfc00, 0, 0, 7), v6(0xfe80, 0, 0, 10),
};

} // namespace

bool Network::contains(const Address& address) const noexcept
{
    if (address.family() != base.family())
        return false;
    const unsigned whole = prefix / 8;
    const auto& ours = base.bytes();
    const auto& theirs = address.bytes();
    if (!std::equal(ours.begin(), ours.begin() + whole, theirs.begin()))
        return false;
    const unsigned rest = prefix % 8;
    return rest == 0 || ((ours[whole] ^ theirs[whole]) >> (8 - rest)) == 0;
}

std::string Network::to_string() const
{
    return base.to_string() + "/" + std::to_string(prefix);
}

Result<Network> parse_network(std::string_view text)
{
    const std::size_t slash = text.find('/');
    auto address = Address::parse(text.substr(0, slash));
    if (!address)
        return invalid("not a network in CIDR notation: " + text::printable(text, 60));
    unsigned prefix = address->bits();
    if (slash != std::string_view::npos) {
        const auto number = text::parse_number<std::uint8_t>(text.substr(slash + 1));
        if (!number || *number > prefix)
            return invalid("not a network in CIDR notation: " + text::printable(text, 60));
        prefix = *number;
    }
    for (unsigned bit = prefix; bit < address->bits(); ++bit) {
        if ((address->bytes()[bit / 8] >> (7 - bit % 8)) & 1)
            return invalid("network " + text::printable(text, 60) +
                           " has bits set behind its prefix");
    }
    return Network{*address, static_cast<std::uint8_t>(prefix)};
}

bool is_global(const Address& address) noexcept
{
    if (!address || address.is_unspecified() || address.is_multicast())
        return false;
    const std::span<const Network> special = address.is_v4() ? std::span<const Network>(special_v4)
                                                             : std::span<const Network>(special_v6);
    return std::none_of(special.begin(), special.end(),
                        [&](const Network& network) { return network.contains(address); });
}

bool is_routable(const Address& address, std::span<const Network> private_ranges) noexcept
{
    if (is_global(address))
        return true;
    if (!address || address.is_unspecified() || address.is_multicast())
        return false;
    return std::any_of(private_ranges.begin(), private_ranges.end(),
                       [&](const Network& network) { return network.contains(address); });
}

} // namespace mediaproxy::net
