// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace mediaproxy::media
{

/// What a datagram on a media port is, judged by its first bytes (RFC 7983, RFC 5761).
enum class PacketKind : std::uint8_t {
    rtp,
    rtcp, ///< on an RTP port too: payload types 64-95
    stun, ///< RFC 5389: relayed, but no media
    other ///< DTLS, T.38, anything: traffic without a payload type
};

PacketKind classify(std::span<const std::byte> datagram) noexcept;

/// The payload type of a datagram that classify() called RTP.
inline std::uint8_t payload_type(std::span<const std::byte> rtp) noexcept
{
    return std::to_integer<std::uint8_t>(rtp[1]) & 0x7f;
}

} // namespace mediaproxy::media
