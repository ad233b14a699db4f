// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace media_load
{

enum class Kind : std::uint8_t { rtp, rtcp };

/// What a phone says in one datagram: an RTP header (RFC 3550; its SSRC names stream and speaker),
/// the whole sequence number, when it was sent, and a filling that both of them determine.
struct Packet {
    std::uint32_t ssrc = 0;
    std::uint32_t sequence = 0; ///< from 0; the header has its low 16 bits
    std::int64_t sent_ns = 0;   ///< CLOCK_MONOTONIC
};

constexpr std::size_t packet_size = 172; ///< 12 of header, 160 as of 20 ms of G.711

void write(const Packet& packet, Kind kind, std::span<std::byte, packet_size> into) noexcept;

/// Nothing when a byte is not as it was written, or the length is not.
std::optional<Packet> read(std::span<const std::byte> datagram, Kind kind) noexcept;

} // namespace media_load
