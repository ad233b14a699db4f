// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "loop.hpp"
#include "protocol/command.hpp"
#include "relay/media_socket.hpp"
#include "relay/relay.hpp"

namespace mediaproxy::test
{

using Bytes = std::vector<std::byte>;

/// An RTP packet (RFC 3550) with a G.711 payload of that many bytes.
inline Bytes rtp(std::uint8_t payload_type = 0, std::size_t payload = 160)
{
    Bytes packet(12, std::byte{0});
    packet.resize(12 + payload, std::byte{0xd5});
    packet[0] = std::byte{0x80};
    packet[1] = std::byte{payload_type};
    return packet;
}

/// An RTCP sender report without blocks.
inline Bytes rtcp()
{
    Bytes packet(28, std::byte{0});
    packet[0] = std::byte{0x80};
    packet[1] = std::byte{200};
    packet[3] = std::byte{6};
    return packet;
}

/// A STUN binding request (RFC 5389) without attributes.
inline Bytes stun()
{
    Bytes packet(20, std::byte{7});
    const unsigned char head[] = {0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xa4, 0x42};
    std::memcpy(packet.data(), head, sizeof head);
    return packet;
}

/// One UDP socket of a phone.
class Phone
{
public:
    explicit Phone(asio::io_context& io, const net::Address& address, net::Port port = 0)
        : io_(io), fd_(relay::open_udp(address.family()))
    {
        relay::bind_udp(fd_.get(), {address, port});
        relay::SocketAddress local;
        local.size = sizeof local.storage;
        ::getsockname(fd_.get(), local.get(), &local.size);
        endpoint_ = local.endpoint();
    }
    const net::Endpoint& endpoint() const noexcept { return endpoint_; }
    void send(const net::Endpoint& to, const Bytes& packet)
    {
        relay::send_datagram(fd_.get(), to, packet);
    }
    /// The next packet and who it is from; an empty packet when none comes.
    std::pair<Bytes, net::Endpoint>
    receive(std::chrono::milliseconds patience = std::chrono::seconds(5))
    {
        std::pair<Bytes, net::Endpoint> received;
        run_until(
            io_,
            [&] {
                if (batch_.receive(fd_.get()) == 0)
                    return false;
                const auto data = batch_.data(0);
                received = {Bytes(data.begin(), data.end()), batch_.source(0)};
                return true;
            },
            patience);
        return received;
    }
    bool hears_nothing() { return receive(std::chrono::milliseconds(30)).first.empty(); }

private:
    asio::io_context& io_;
    UniqueFd fd_;
    net::Endpoint endpoint_;
    relay::ReceiveBatch batch_;
};

/// What a SIP proxy says about one call with one audio stream.
struct CallUpdates {
    std::string call_id = "c1";
    net::Endpoint caller, callee;
    net::Address signaling;

    protocol::Update offer() const { return make(protocol::MessageType::request, "", caller); }
    protocol::Update answer() const { return make(protocol::MessageType::reply, "t", callee); }
    protocol::Remove bye() const { return {call_id, "f", "t"}; }

private:
    protocol::Update make(protocol::MessageType type, std::string_view to_tag,
                          const net::Endpoint& media) const
    {
        protocol::Update update;
        update.type = type;
        update.has_media = true;
        update.cseq = 1;
        update.call_id = call_id;
        update.from_tag = "f";
        update.to_tag = to_tag;
        update.from_uri = "alice@example.com";
        update.to_uri = "bob@example.com";
        update.user_agent = "phone";
        update.signaling.source = media.address;
        update.media.push_back({"audio", media, protocol::Direction::sendrecv, false});
        return update;
    }
};

} // namespace mediaproxy::test
