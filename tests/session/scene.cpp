// SPDX-License-Identifier: GPL-2.0-or-later
#include "scene.hpp"

namespace mediaproxy::session
{

namespace
{

std::vector<std::byte> bytes(std::initializer_list<unsigned> start, std::size_t size)
{
    std::vector<std::byte> packet(size);
    std::transform(start.begin(), start.end(), packet.begin(),
                   [](unsigned value) { return static_cast<std::byte>(value); });
    return packet;
}

} // namespace

std::vector<std::byte> rtp_packet(std::uint8_t payload_type, std::size_t payload)
{
    return bytes({0x80, payload_type}, 12 + payload);
}

std::vector<std::byte> rtcp_packet()
{
    return bytes({0x80, 200}, 28);
}

std::vector<std::byte> stun_packet(std::uint8_t transaction)
{
    return bytes({0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, transaction}, 20);
}

std::vector<std::byte> dtls_packet()
{
    return bytes({22, 0xfe, 0xfd}, 60);
}

std::vector<Expired> Scene::run(Duration time)
{
    std::vector<Expired> all;
    const TimePoint end = now.mono + time;
    for (auto next = table.next_deadline(); next && *next <= end; next = table.next_deadline()) {
        REQUIRE(*next > now.mono - 1ms);
        advance(std::max(*next - now.mono, Duration(0)));
        auto ended = table.expire(now);
        std::move(ended.begin(), ended.end(), std::back_inserter(all));
    }
    advance(end - now.mono);
    return all;
}

Result<protocol::Ports> Scene::update(const Says& says, OwnerId owner)
{
    protocol::Update update;
    update.type = says.type;
    update.has_media = !says.media.empty();
    update.cseq = says.cseq;
    update.call_id = says.call_id;
    update.from_tag = says.from_tag;
    update.to_tag = says.to_tag;
    update.from_uri = "alice@example.com";
    update.to_uri = "bob@example.com";
    update.user_agent = says.user_agent;
    update.signaling = protocol::parse_signaling(says.signaling);
    if (update.has_media) {
        auto media = protocol::parse_media(says.media);
        REQUIRE(media);
        update.media = *media;
    }
    return table.update(update, owner, now);
}

Result<protocol::Ports> Scene::try_reply(Says says)
{
    says.type = protocol::MessageType::reply;
    if (says.to_tag.empty())
        says.to_tag = says.from_tag == "A" ? "B" : "A";
    return update(says);
}

protocol::Ports Scene::request(const Says& says)
{
    auto got = try_request(says);
    REQUIRE(got);
    return *got;
}

protocol::Ports Scene::reply(const Says& says)
{
    auto got = try_reply(says);
    REQUIRE(got);
    return *got;
}

protocol::Ports Scene::early(Says says)
{
    says.type = protocol::MessageType::reply;
    auto got = update(says);
    REQUIRE(got);
    return *got;
}

Result<protocol::SessionReport> Scene::remove(std::string_view from_tag, std::string_view to_tag,
                                              std::string_view call_id)
{
    return table.remove(protocol::Remove{call_id, from_tag, to_tag}, now);
}

protocol::SessionReport Scene::report(std::string_view call_id) const
{
    return session(call_id).report(now.mono);
}

Scene::Call Scene::call(std::string_view media_caller, std::string_view media_callee,
                        std::string_view call_id)
{
    Says says{std::string(media_caller)};
    says.call_id = call_id;
    const auto offered = request(says);
    says.media = media_callee;
    const auto answered = reply(says);
    return {answered.rtp.at(0), offered.rtp.at(0)};
}

Verdict Scene::send(const net::Endpoint& from, net::Port to, std::span<const std::byte> data)
{
    return table.on_packet(ports.role(to), from, data, now.mono);
}

FlowId Scene::talk_and_install(const Call& call)
{
    rtp(caller, call.for_caller);
    const Verdict verdict = rtp(callee, call.for_callee);
    REQUIRE(verdict.install_ready);
    const auto plan = table.begin_flow(ports.role(call.for_callee));
    REQUIRE(plan);
    return plan->flow.id;
}

void Scene::talk_for(const Call& call, Duration time)
{
    for (const TimePoint end = now.mono + time; now.mono < end; advance(20ms)) {
        rtp(caller, call.for_caller);
        rtp(callee, call.for_callee);
        CHECK(table.expire(now).empty());
    }
}

mp_flow_reading Scene::reading(FlowId id, std::uint64_t caller_packets,
                               std::uint64_t callee_packets, TimePoint seen) const
{
    const auto ms = std::chrono::duration_cast<Milliseconds>(seen.time_since_epoch()).count();
    mp_flow_reading out{};
    out.id = id;
    out.from_caller = {caller_packets, caller_packets * 200};
    out.from_callee = {callee_packets, callee_packets * 200};
    out.caller_seen_ms = caller_packets ? ms : -1;
    out.callee_seen_ms = callee_packets ? ms : -1;
    return out;
}

} // namespace mediaproxy::session
