// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>

#include <linux/netlink.h>

#include <mediaproxy/forwarding.h>

namespace forwarding_nftables
{

enum class Family : std::uint8_t { ipv4, ipv6 };

constexpr std::size_t address_size(Family family) noexcept
{
    return family == Family::ipv4 ? 4 : 16;
}

/// Two addresses and two ports of four bytes each.
constexpr std::size_t key_size(Family family) noexcept
{
    return 2 * address_size(family) + 8;
}

/// Bytes of a map's key or data: fields in network order, each filled up to four bytes.
template <std::size_t Most>
class Fields
{
public:
    void append(const void* bytes, std::size_t count) noexcept
    {
        std::memcpy(bytes_.data() + size_, bytes, count);
        size_ += (count + 3) / 4 * 4;
    }
    std::span<const std::byte> bytes() const noexcept { return {bytes_.data(), size_}; }
    bool operator==(const Fields&) const noexcept = default;

private:
    std::array<std::byte, Most> bytes_{};
    std::size_t size_ = 0;
};

/// saddr . daddr . sport . dport of a packet that arrives.
using Key = Fields<40>;
/// The same of the packet that leaves; on devices also the device and the next hop.
using Data = Fields<60>;

struct KeyHash {
    std::size_t operator()(const Key& key) const noexcept;
};

/// Where the packets of one direction leave, for the netdev family.
struct Hop {
    std::uint32_t device = 0; ///< index; 0 = no way out
    std::array<std::uint8_t, 16> address{};
    bool operator==(const Hop&) const noexcept = default;
};

Key make_key(Family family, const mp_endpoint& source, const mp_endpoint& destination) noexcept;
/// `hop` is null in the prerouting hook, where the host routes.
Data make_data(Family family, const mp_endpoint& source, const mp_endpoint& destination,
               const Hop* hop) noexcept;

/// One map in the kernel.
struct MapPlace {
    std::uint8_t protocol; ///< NFPROTO_*
    const char* table;
    const char* map;
};

/// Elements with these keys, as the body of a NEWSETELEM, DELSETELEM or GETSETELEM message; `data`
/// is empty or as long as `keys`.
void put_elements(nlmsghdr& message, const MapPlace& place, std::span<const Key> keys,
                  std::span<const Data> data);

using OnElement =
    std::function<void(const Key& key, std::span<const std::byte> data, const mp_traffic& counted)>;

/// Reads the elements out of a NEWSETELEM or DELSETELEM message; others are passed over.
void for_each_element(const nlmsghdr& message, const OnElement& on_element);

} // namespace forwarding_nftables
