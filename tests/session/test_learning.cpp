// SPDX-License-Identifier: GPL-2.0-or-later
#include "scene.hpp"

// Who is heard, where packets go, and what a reset does.

using namespace mediaproxy;
using namespace mediaproxy::session;
using Action = Verdict::Action;

namespace
{

const std::string a = "audio:20.1.0.2:5000:sendrecv";
const std::string b = "audio:20.2.0.2:6000:sendrecv";
const std::string private_a = "audio:192.168.1.5:5000:sendrecv";
const std::string private_b = "audio:192.168.2.5:6000:sendrecv";
const net::Endpoint stranger = endpoint("20.9.9.9", 9999);

} // namespace

TEST_CASE("the first source wins and a stranger is dropped")
{
    Latch latch;
    const TimePoint now(1s);
    CHECK(latch.on_packet(stranger, now) == Latch::Verdict::learned);
    CHECK(latch.on_packet(endpoint("20.1.0.2", 5000), now) == Latch::Verdict::drop);
    CHECK(latch.on_packet(endpoint("20.9.9.9", 9998), now) == Latch::Verdict::drop);
    CHECK(latch.on_packet(stranger, now) == Latch::Verdict::accept);
    latch.forget();
    CHECK_FALSE(latch.learned());
    CHECK(latch.on_packet(stranger, now) == Latch::Verdict::learned);
}

TEST_CASE("a latch that learns again ignores its old source for a while")
{
    Latch latch;
    const TimePoint now(1s);
    const net::Address elsewhere = *net::Address::parse("20.1.0.7");
    latch.on_packet(stranger, now);
    SECTION("that exact source, that long")
    {
        latch.relearn(elsewhere, {}, now + 1s);
        CHECK(latch.on_packet(stranger, now + 999ms) == Latch::Verdict::drop);
        CHECK(latch.on_packet(stranger, now + 1s) == Latch::Verdict::learned);
    }
    SECTION("not another port of its address")
    {
        latch.relearn(elsewhere, {}, now + 1s);
        CHECK(latch.on_packet(endpoint("20.9.9.9", 9998), now) == Latch::Verdict::learned);
    }
    SECTION("not when it has the announced address")
    {
        latch.relearn(stranger.address, {}, now + 1s);
        CHECK(latch.on_packet(stranger, now) == Latch::Verdict::learned);
    }
    SECTION("not when it has the signaling address")
    {
        latch.relearn(elsewhere, stranger.address, now + 1s);
        CHECK(latch.on_packet(stranger, now) == Latch::Verdict::learned);
    }
    SECTION("not any more when it is announced again")
    {
        latch.relearn(elsewhere, {}, now + 1s);
        latch.relearn(stranger.address, {}, now + 1s);
        CHECK(latch.on_packet(stranger, now) == Latch::Verdict::learned);
    }
}

TEST_CASE("packets go to the signalled address until the other leg is learned")
{
    Scene scene;
    const auto call = scene.call();
    auto verdict = scene.rtp(endpoint("20.1.0.2", 5555), call.for_caller);
    CHECK(verdict.action == Action::forward);
    CHECK(verdict.to == scene.callee);
    CHECK(verdict.out_component == ComponentKind::rtp);
    CHECK(verdict.out_slot == scene.ports.behind(call.for_callee)->pair.slot);
    verdict = scene.rtp(endpoint("20.2.0.2", 6666), call.for_callee);
    CHECK(verdict.to == endpoint("20.1.0.2", 5555));
    CHECK(scene.rtp(endpoint("20.1.0.2", 5555), call.for_caller).to == endpoint("20.2.0.2", 6666));
    CHECK(scene.rtp(scene.caller, call.for_caller).action == Action::drop);
    CHECK(scene.report().streams.at(0).caller_remote == "20.1.0.2:5555");
}

TEST_CASE("RTCP goes to the signalled port + 1, so that it crosses chained relays")
{
    Scene scene;
    const auto call = scene.call();
    const auto verdict = scene.send(endpoint("20.1.0.2", 5001), call.for_caller + 1, rtcp_packet());
    CHECK(verdict.action == Action::forward);
    CHECK(verdict.to == endpoint("20.2.0.2", 6001));
    CHECK(verdict.out_component == ComponentKind::rtcp);
}

TEST_CASE("media for a private address waits until its party was heard")
{
    Scene scene;
    const auto call = scene.call(private_a, private_b);
    CHECK(scene.rtp(scene.caller, call.for_caller).action == Action::drop);
    const auto verdict = scene.rtp(scene.callee, call.for_callee);
    CHECK(verdict.action == Action::forward);
    CHECK(verdict.to == scene.caller);
    CHECK(scene.rtp(scene.caller, call.for_caller).to == scene.callee);
    CHECK(scene.report().streams.at(0).rtp_from_caller.packets == 2);
}

TEST_CASE("routable private ranges make a private address reachable")
{
    Rules rules;
    rules.routable_private_ranges = {*net::parse_network("192.168.0.0/16")};
    Scene scene(rules);
    const auto call = scene.call(private_a, private_b);
    CHECK(scene.rtp(scene.caller, call.for_caller).to == endpoint("192.168.2.5", 6000));
}

TEST_CASE("some addresses are never sent to")
{
    struct Case {
        const char* what;
        std::string media;
        std::string range;
        bool sent;
    };
    const std::vector<Case> cases = {
        {"multicast", "audio:224.1.1.1:6000:sendrecv", "224.0.0.0/4", false},
        {"broadcast", "audio:255.255.255.255:6000:sendrecv", "0.0.0.0/0", false},
        {"loopback", "audio:127.0.0.1:6000:sendrecv", "10.0.0.0/8", false},
        {"loopback in a routable range", "audio:127.0.0.1:6000:sendrecv", "127.0.0.0/8", true},
        {"a control address", "audio:20.4.0.1:25060:sendrecv", "10.0.0.0/8", false},
        {"the hold address", "audio:0.0.0.0:6000:sendrecv", "0.0.0.0/0", false},
    };
    for (const Case& row : cases) {
        INFO(row.what);
        Rules rules;
        rules.routable_private_ranges = {*net::parse_network(row.range)};
        Scene scene(rules);
        scene.ports.control = {endpoint("20.4.0.1", 25060)};
        const auto call = scene.call(a, row.media);
        const auto action = scene.rtp(scene.caller, call.for_caller).action;
        CHECK((action == Action::forward) == row.sent);
    }
}

TEST_CASE("RTCP is not sent to a control address one port above the signalled one")
{
    Scene scene;
    scene.ports.control = {endpoint("20.4.0.1", 25061)};
    const auto call = scene.call(a, "audio:20.4.0.1:25060:sendrecv");
    CHECK(scene.rtp(scene.caller, call.for_caller).action == Action::forward);
    CHECK(scene.send(scene.caller, call.for_caller + 1, rtcp_packet()).action == Action::drop);
}

TEST_CASE("the session's own ports are never sent to")
{
    Rules rules;
    rules.routable_private_ranges = {*net::parse_network("0.0.0.0/0")};
    Scene scene(rules);
    const auto offered = scene.request({a});
    const auto port = offered.rtp.at(0);
    const auto answered = scene.reply({"audio:20.3.0.1:" + std::to_string(port) + ":sendrecv"});
    CHECK(scene.rtp(scene.caller, answered.rtp.at(0)).action == Action::drop);
}

TEST_CASE("a packet forged from the stream's own port is not learned")
{
    Scene scene;
    const auto call = scene.call();
    CHECK(scene.rtp({scene.ports.ipv4, call.for_caller}, call.for_callee).action == Action::drop);
    CHECK(scene.rtp(scene.callee, call.for_callee).action == Action::forward);
}

namespace
{

/// Two calls of one relay whose SDP names the phones, and forged packets between them.
struct TwoCalls {
    Scene scene;
    Scene::Call one = scene.call();
    Scene::Call two =
        scene.call("audio:20.1.0.3:5000:sendrecv", "audio:20.2.0.3:6000:sendrecv", "second");
    Verdict forge(net::Port from, net::Port to) { return scene.rtp({scene.ports.ipv4, from}, to); }
};

} // namespace

TEST_CASE("forged packets do not latch two calls into a ring")
{
    TwoCalls calls;
    CHECK(calls.forge(calls.two.for_caller, calls.one.for_callee).action == Action::forward);
    INFO("what leaves the first call on its caller's side comes from the second one");
    CHECK(calls.forge(calls.one.for_caller, calls.two.for_callee).action == Action::drop);
    INFO("the leg still waits for its party");
    CHECK(calls.scene.rtp(endpoint("20.2.0.3", 6000), calls.two.for_callee).action ==
          Action::forward);
}

TEST_CASE("a leg that may learn another source does not close a ring either")
{
    TwoCalls calls;
    auto& scene = calls.scene;
    const auto party = endpoint("20.2.0.3", 6000);
    scene.rtp(party, calls.two.for_callee);
    scene.request({"audio:20.1.0.3:5000:sendonly", 2, "A", "B", "second"});
    scene.reply({"audio:20.2.0.3:6000:recvonly", 2, "A", "B", "second"});
    scene.advance(60s);
    scene.request({"audio:20.1.0.3:5000:sendrecv", 3, "A", "B", "second"});
    scene.reply({"audio:20.2.0.3:6000:sendrecv", 3, "A", "B", "second"});
    calls.forge(calls.two.for_caller, calls.one.for_callee);
    CHECK(calls.forge(calls.one.for_caller, calls.two.for_callee).action == Action::drop);
    CHECK(scene.rtp(party, calls.two.for_callee).action == Action::forward);
}

TEST_CASE("a call that spirals through the same relay passes both of its sessions")
{
    Scene scene;
    const auto own = [&](net::Port port) {
        return "audio:20.3.0.1:" + std::to_string(port) + ":sendrecv";
    };
    const auto say = [](std::string media, std::string call_id) {
        return Says{std::move(media), 1, "A", "B", std::move(call_id)};
    };
    const auto bobs = [&](std::string call_id, const std::string& media) {
        Says says{media};
        says.call_id = std::move(call_id);
        return scene.request(says).rtp.at(0);
    };
    const net::Port one_callee = bobs("one", "audio:20.1.0.2:5000:sendrecv");
    const net::Port two_callee = bobs("two", own(one_callee));
    const net::Port two_caller = scene.reply(say("audio:20.2.0.2:6000:sendrecv", "two")).rtp.at(0);
    const net::Port one_caller = scene.reply(say(own(two_caller), "one")).rtp.at(0);

    const auto from_alice = [&] {
        CHECK(scene.rtp(scene.caller, one_caller).to ==
              net::Endpoint{scene.ports.ipv4, two_caller});
        CHECK(scene.rtp({scene.ports.ipv4, one_callee}, two_caller).to == scene.callee);
    };
    const auto from_bob = [&] {
        CHECK(scene.rtp(scene.callee, two_callee).to ==
              net::Endpoint{scene.ports.ipv4, one_callee});
        CHECK(scene.rtp({scene.ports.ipv4, two_caller}, one_callee).to == scene.caller);
    };
    SECTION("alice talks first")
    {
        from_alice();
        from_bob();
    }
    SECTION("bob talks first")
    {
        from_bob();
        from_alice();
    }
    from_alice();
    from_bob();
}

TEST_CASE("STUN waits for a receiver that is not known, and is released in order")
{
    Scene scene;
    const auto call = scene.call(private_a, private_b);
    CHECK(scene.send(scene.caller, call.for_caller, stun_packet(1)).action == Action::queued);
    CHECK(scene.send(scene.caller, call.for_caller, stun_packet(2)).action == Action::queued);
    CHECK(scene.rtp(scene.caller, call.for_caller).action == Action::drop);

    const auto verdict = scene.send(scene.callee, call.for_callee, stun_packet(3));
    CHECK(verdict.action == Action::forward);
    REQUIRE(verdict.release_queue);
    const auto released = scene.table.take_queued(scene.ports.role(call.for_callee));
    REQUIRE(released.size() == 2);
    CHECK(released[0].data == stun_packet(1));
    CHECK(released[1].data == stun_packet(2));
    CHECK(released[0].to == scene.callee);
    CHECK(released[0].out_slot == scene.ports.behind(call.for_callee)->pair.slot);
    CHECK(scene.table.take_queued(scene.ports.role(call.for_callee)).empty());
    CHECK_FALSE(scene.send(scene.callee, call.for_callee, stun_packet(4)).release_queue);
}

TEST_CASE("only a few STUN packets wait, the newest")
{
    Scene scene;
    const auto call = scene.call(private_a, private_b);
    for (std::uint8_t i = 0; i < 100; ++i)
        scene.send(scene.caller, call.for_caller, stun_packet(i));
    scene.send(scene.callee, call.for_callee, stun_packet(200));
    const auto released = scene.table.take_queued(scene.ports.role(call.for_callee));
    REQUIRE(released.size() == 8);
    CHECK(released.back().data == stun_packet(99));
    std::vector<std::byte> huge = stun_packet(1);
    huge.resize(9000);
    Scene other;
    const auto second = other.call(private_a, private_b);
    CHECK(other.send(other.caller, second.for_caller, huge).action == Action::drop);
}

TEST_CASE("STUN is relayed but is no media")
{
    Scene scene;
    const auto call = scene.call();
    CHECK(scene.send(scene.caller, call.for_caller, stun_packet()).action == Action::forward);
    const auto verdict = scene.send(scene.callee, call.for_callee, stun_packet());
    CHECK(verdict.action == Action::forward);
    CHECK_FALSE(verdict.install_ready);
    const auto stream = scene.report().streams.at(0);
    CHECK(stream.caller_remote == "20.1.0.2:5000");
    CHECK(stream.caller_codec == "Unknown");
    CHECK_FALSE(stream.post_dial_delay);
    CHECK(stream.rtp_from_caller.packets == 1);
}

TEST_CASE("only RTP sets the codec, and the first one does")
{
    Scene scene;
    const auto call = scene.call();
    scene.send(scene.caller, call.for_caller, dtls_packet());
    scene.send(scene.caller, call.for_caller, rtcp_packet());
    CHECK(scene.report().streams.at(0).caller_codec == "Unknown");
    CHECK(scene.report().streams.at(0).post_dial_delay);
    scene.send(scene.caller, call.for_caller, rtp_packet(101));
    scene.send(scene.caller, call.for_caller, rtp_packet(0));
    CHECK(scene.report().streams.at(0).caller_codec == "Dynamic(101)");
    CHECK(scene.report().streams.at(0).callee_codec == "Unknown");
}

TEST_CASE("empty and tiny datagrams are relayed and counted")
{
    Scene scene;
    const auto call = scene.call();
    CHECK(scene.send(scene.caller, call.for_caller, {}).action == Action::forward);
    CHECK(scene.report().streams.at(0).rtp_from_caller == Traffic{1, 28});
    CHECK(scene.report().streams.at(0).caller_codec == "Unknown");
}

TEST_CASE("an answer with another address resets the leg")
{
    Scene scene;
    const auto call = scene.call();
    scene.rtp(scene.caller, call.for_caller);
    scene.rtp(scene.callee, call.for_callee);
    scene.send(endpoint("20.2.0.2", 6001), call.for_callee + 1, rtcp_packet());
    scene.request({a, 2, "A", "B"});

    SECTION("and its old source is ignored for a second")
    {
        scene.reply({"audio:20.2.0.9:6060:sendrecv", 2});
        CHECK(scene.rtp(scene.caller, call.for_caller).to == endpoint("20.2.0.9", 6060));
        CHECK(scene.rtp(scene.callee, call.for_callee).action == Action::drop);
        const auto rtcp = endpoint("20.2.0.2", 6001);
        CHECK(scene.send(rtcp, call.for_callee + 1, rtcp_packet()).action == Action::drop);
        CHECK(scene.report().streams.at(0).callee_remote == "Unknown");
        const auto moved = endpoint("20.2.0.9", 7777);
        CHECK(scene.rtp(moved, call.for_callee).to == scene.caller);
        CHECK(scene.rtp(scene.caller, call.for_caller).to == moved);
    }
    SECTION("but may win again after it")
    {
        scene.reply({"audio:20.2.0.9:6060:sendrecv", 2});
        scene.advance(1s);
        CHECK(scene.rtp(scene.callee, call.for_callee).action == Action::forward);
    }
    SECTION("unless its address is the new one")
    {
        scene.reply({"audio:20.2.0.2:6060:sendrecv", 2});
        CHECK(scene.rtp(scene.callee, call.for_callee).action == Action::forward);
    }
    SECTION("unless its address is where the message came from")
    {
        Says says{"audio:192.168.7.7:6060:sendrecv", 2};
        says.signaling = "20.2.0.2";
        scene.reply(says);
        CHECK(scene.rtp(scene.callee, call.for_callee).action == Action::forward);
    }
    SECTION("the other leg stays learned")
    {
        scene.reply({"audio:20.2.0.9:6060:sendrecv", 2});
        CHECK(scene.rtp(stranger, call.for_caller).action == Action::drop);
        CHECK(scene.report().streams.at(0).caller_remote == "20.1.0.2:5000");
    }
    SECTION("the same address resets nothing")
    {
        scene.reply({b, 2});
        CHECK(scene.report().streams.at(0).callee_remote == "20.2.0.2:6000");
    }
}

TEST_CASE("the caller's signaling address on a reply says nothing about the callee")
{
    Scene scene;
    Says offer{a};
    offer.signaling = "20.1.0.2";
    const auto offered = scene.request(offer);
    scene.reply({b});
    scene.rtp(scene.caller, offered.rtp.at(0)); // by whatever route, the caller's address
    Says again{"audio:20.2.0.9:6060:sendrecv", 2};
    again.signaling = "20.1.0.2";
    scene.request({a, 2, "A", "B"});
    scene.reply(again);
    CHECK(scene.rtp(scene.caller, offered.rtp.at(0)).action == Action::drop);
}

TEST_CASE("forks that named several addresses are learned again by the final answer")
{
    Scene scene;
    const auto fork_2 = endpoint("20.2.0.3", 7000);
    const auto offered = scene.request({a}).rtp.at(0);
    scene.early({b});
    scene.rtp(scene.callee, offered);
    scene.early({"audio:20.2.0.3:7000:sendrecv"});
    CHECK(scene.rtp(scene.callee, offered).action == Action::drop);
    scene.advance(2s);
    // The first fork goes on with its announcement and is heard once more.
    CHECK(scene.rtp(scene.callee, offered).action == Action::forward);
    scene.reply({"audio:20.2.0.3:7000:sendrecv", 1, "A", "B2"});
    CHECK(scene.rtp(scene.callee, offered).action == Action::drop);
    CHECK(scene.rtp(fork_2, offered).action == Action::forward);
    // A retransmitted 200 is no first final answer.
    scene.reply({"audio:20.2.0.3:7000:sendrecv", 1, "A", "B2"});
    CHECK(scene.report().streams.at(0).callee_remote == "20.2.0.3:7000");
}

TEST_CASE("one early answer and the same final one reset nothing")
{
    Scene scene;
    const auto offered = scene.request({a}).rtp.at(0);
    scene.early({b});
    scene.rtp(scene.callee, offered);
    scene.reply({b});
    CHECK(scene.report().streams.at(0).callee_remote == "20.2.0.2:6000");
}

TEST_CASE("a port that is nobody's drops its packets")
{
    Scene scene;
    CHECK(scene.table.on_packet({}, scene.caller, rtp_packet(), scene.now.mono).action ==
          Action::drop);
    CHECK(scene.table.take_queued({}).empty());
    CHECK_FALSE(scene.table.begin_flow({}));
}
