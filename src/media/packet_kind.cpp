// SPDX-License-Identifier: GPL-2.0-or-later
#include "media/packet_kind.hpp"

namespace mediaproxy::media
{

namespace
{

constexpr std::size_t rtp_header = 12;
constexpr std::size_t stun_header = 20;
constexpr std::uint8_t stun_cookie[] = {0x21, 0x12, 0xa4, 0x42};

bool is_stun(std::span<const std::byte> datagram) noexcept
{
    if (datagram.size() < stun_header || (datagram[0] & std::byte{0xc0}) != std::byte{0})
        return false;
    for (std::size_t i = 0; i < sizeof stun_cookie; ++i) {
        if (std::to_integer<std::uint8_t>(datagram[4 + i]) != stun_cookie[i])
            return false;
    }
    return true;
}

} // namespace

PacketKind classify(std::span<const std::byte> datagram) noexcept
{
    if (is_stun(datagram))
        return PacketKind::stun;
    constexpr std::uint8_t version_2 = 2;
    if (datagram.size() < 4 || std::to_integer<std::uint8_t>(datagram[0]) >> 6 != version_2)
        return PacketKind::other;
    // RTCP packet types 192-223 collide with these payload types, which RFC 5761 keeps free.
    const std::uint8_t type = payload_type(datagram);
    if (type >= 64 && type <= 95)
        return PacketKind::rtcp;
    return datagram.size() >= rtp_header ? PacketKind::rtp : PacketKind::other;
}

} // namespace mediaproxy::media
