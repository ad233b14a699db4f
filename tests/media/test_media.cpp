// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <catch2/catch.hpp>
#include <vector>

#include "media/packet_kind.hpp"
#include "media/payload_type.hpp"

using namespace mediaproxy::media;

namespace
{

std::vector<std::byte> packet(std::initializer_list<unsigned> start, std::size_t size)
{
    std::vector<std::byte> bytes(std::max(size, start.size()));
    std::transform(start.begin(), start.end(), bytes.begin(),
                   [](unsigned value) { return static_cast<std::byte>(value); });
    return bytes;
}

} // namespace

TEST_CASE("a datagram is told apart by its first bytes")
{
    struct Case {
        const char* what;
        std::vector<std::byte> bytes;
        PacketKind kind;
    };
    const std::vector<Case> cases = {
        {"RTP, G.711", packet({0x80, 0}, 172), PacketKind::rtp},
        {"RTP with marker and dynamic type", packet({0x90, 0x80 | 101}, 80), PacketKind::rtp},
        {"RTP header alone", packet({0x80, 8}, 12), PacketKind::rtp},
        {"a cut RTP header", packet({0x80, 8}, 11), PacketKind::other},
        {"RTCP sender report", packet({0x80, 200}, 28), PacketKind::rtcp},
        {"RTCP receiver report", packet({0x81, 201}, 32), PacketKind::rtcp},
        {"RTCP feedback", packet({0x81, 205}, 16), PacketKind::rtcp},
        {"lowest payload type of RTCP", packet({0x80, 64}, 12), PacketKind::rtcp},
        {"highest payload type of RTCP", packet({0x80, 95}, 12), PacketKind::rtcp},
        {"below it", packet({0x80, 63}, 12), PacketKind::rtp},
        {"above it", packet({0x80, 96}, 12), PacketKind::rtp},
        {"STUN", packet({0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 20), PacketKind::stun},
        {"STUN success", packet({1, 1, 0, 8, 0x21, 0x12, 0xa4, 0x42}, 28), PacketKind::stun},
        {"STUN without its cookie", packet({0, 1, 0, 0}, 20), PacketKind::other},
        {"a cut STUN header", packet({0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 19), PacketKind::other},
        {"the cookie behind set top bits", packet({0x40, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}, 20),
         PacketKind::other},
        {"DTLS", packet({22, 0xfe, 0xfd}, 60), PacketKind::other},
        {"T.38 over UDPTL", packet({0, 5, 6}, 30), PacketKind::other},
        {"nothing", packet({}, 0), PacketKind::other},
        {"one byte", packet({0x80}, 1), PacketKind::other},
    };
    for (const Case& row : cases) {
        INFO(row.what);
        CHECK(classify(row.bytes) == row.kind);
    }
}

TEST_CASE("payload types are named as in MediaProxy's records")
{
    CHECK(payload_type(packet({0x80, 0x80 | 101}, 12)) == 101);
    CHECK(payload_name(0) == "G711u");
    CHECK(payload_name(8) == "G711a");
    CHECK(payload_name(18) == "G729");
    CHECK(payload_name(34) == "H263");
    CHECK(payload_name(12) == "Unknown(12)");
    CHECK(payload_name(35) == "Unknown(35)");
    CHECK(payload_name(95) == "Unknown(95)");
    CHECK(payload_name(96) == "Dynamic(96)");
    CHECK(payload_name(101) == "Dynamic(101)");
    CHECK(payload_name(127) == "Dynamic(127)");
}
