// SPDX-License-Identifier: GPL-2.0-or-later
#include "packet.hpp"

#include <array>
#include <cstring>

namespace media_load
{
namespace
{

constexpr std::size_t at_timestamp = 4, at_ssrc = 8, at_sequence = 12, at_stamp = 16,
                      at_filling = 24;
constexpr std::uint32_t samples = 160; ///< of 8 kHz in 20 ms
constexpr std::byte version{0x80};

template <class T>
void put(std::span<std::byte> into, std::size_t at, T value) noexcept
{
    std::memcpy(into.data() + at, &value, sizeof value);
}

template <class T>
T get(std::span<const std::byte> from, std::size_t at) noexcept
{
    T value{};
    std::memcpy(&value, from.data() + at, sizeof value);
    return value;
}

std::uint8_t payload_type(Kind kind) noexcept
{
    return kind == Kind::rtp ? 0 : 200; // G.711 u-law; sender report
}

} // namespace

void write(const Packet& packet, Kind kind, std::span<std::byte, packet_size> into) noexcept
{
    into[0] = version;
    into[1] = std::byte{payload_type(kind)};
    into[2] = static_cast<std::byte>(packet.sequence >> 8);
    into[3] = static_cast<std::byte>(packet.sequence);
    put(into, at_timestamp, packet.sequence * samples);
    put(into, at_ssrc, packet.ssrc);
    put(into, at_sequence, packet.sequence);
    put(into, at_stamp, packet.sent_ns);
    std::uint32_t word = packet.ssrc * 2654435761u + packet.sequence;
    for (std::size_t at = at_filling; at < packet_size; at += sizeof word)
        put(into, at, word = word * 1664525u + 1013904223u);
}

std::optional<Packet> read(std::span<const std::byte> datagram, Kind kind) noexcept
{
    if (datagram.size() != packet_size)
        return std::nullopt;
    const Packet packet{get<std::uint32_t>(datagram, at_ssrc),
                        get<std::uint32_t>(datagram, at_sequence),
                        get<std::int64_t>(datagram, at_stamp)};
    std::array<std::byte, packet_size> wanted{};
    write(packet, kind, wanted);
    if (std::memcmp(wanted.data(), datagram.data(), packet_size) != 0)
        return std::nullopt;
    return packet;
}

} // namespace media_load
