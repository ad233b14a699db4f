// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "fakes/fake_fast_path.hpp"
#include "fakes/fake_ports.hpp"
#include "session/session.hpp"
#include "session/session_table.hpp"

namespace mediaproxy::session
{

using namespace std::chrono_literals;

inline net::Endpoint endpoint(std::string_view address, net::Port port)
{
    return {*net::Address::parse(address), port};
}

std::vector<std::byte> rtp_packet(std::uint8_t payload_type = 0, std::size_t payload = 160);
std::vector<std::byte> rtcp_packet();
std::vector<std::byte> stun_packet(std::uint8_t transaction = 0);
std::vector<std::byte> dtls_packet();

/// What a signalling message says, with the values that most tests use.
struct Says {
    std::string media; ///< as in the `media` header; empty: none
    std::uint32_t cseq = 1;
    std::string from_tag = "A", to_tag{};
    std::string call_id = "call";
    std::string user_agent{};
    std::string signaling{};
    protocol::MessageType type = protocol::MessageType::request;
};

/// A relay without sockets or clocks: two phones, a proxy and a table of sessions.
struct Scene {
    explicit Scene(Rules rules_to_use = {}) : table(std::move(rules_to_use), ports, fast_path, 1) {}

    fakes::FakePorts ports;
    fakes::FakeFastPath fast_path;
    SessionTable table;
    Now now{TimePoint(1000s), WallTime(Seconds(1700000000))};

    // The phones' addresses: routable, so that nothing depends on learning unless a test wants it.
    const net::Endpoint caller = endpoint("20.1.0.2", 5000);
    const net::Endpoint callee = endpoint("20.2.0.2", 6000);

    void advance(Duration time)
    {
        now.mono += time;
        now.wall += std::chrono::duration_cast<WallTime::duration>(time);
    }
    /// Lets the time pass as the shell does: expire() at each deadline.
    std::vector<Expired> run(Duration time);

    Result<protocol::Ports> update(const Says& says, OwnerId owner = 1);
    Result<protocol::Ports> try_request(const Says& says) { return update(says); }
    Result<protocol::Ports> try_reply(Says says); ///< to_tag is `B` unless said otherwise
    // Those that must succeed.
    protocol::Ports request(const Says& says);
    protocol::Ports reply(const Says& says);
    protocol::Ports early(Says says); ///< a reply without to_tag
    Result<protocol::SessionReport> remove(std::string_view from_tag = "A",
                                           std::string_view to_tag = "B",
                                           std::string_view call_id = "call");
    protocol::SessionReport report(std::string_view call_id = "call") const;
    const Session& session(std::string_view call_id = "call") const
    {
        const Session* found = table.find(call_id, "A");
        REQUIRE(found);
        return *found;
    }

    /// One audio stream, offered and answered. Ports as the phones see them.
    struct Call {
        net::Port for_caller = 0, for_callee = 0;
    };
    Call call(std::string_view media_caller = "audio:20.1.0.2:5000:sendrecv",
              std::string_view media_callee = "audio:20.2.0.2:6000:sendrecv",
              std::string_view call_id = "call");

    Verdict send(const net::Endpoint& from, net::Port to, std::span<const std::byte> data);
    Verdict rtp(const net::Endpoint& from, net::Port to) { return send(from, to, rtp_packet()); }
    /// Both phones talk; gives the id of the flow that the relay would install.
    FlowId talk_and_install(const Call& call);
    /// The call's media goes on for that long, on the slow path.
    void talk_for(const Call& call, Duration time);
    mp_flow_reading reading(FlowId id, std::uint64_t caller_packets, std::uint64_t callee_packets,
                            TimePoint seen) const;
};

} // namespace mediaproxy::session
