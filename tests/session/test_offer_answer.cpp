// SPDX-License-Identifier: GPL-2.0-or-later
#include "scene.hpp"

// Offers and answers beyond rounds.json.

using namespace mediaproxy;
using namespace mediaproxy::session;

namespace
{

const std::string a = "audio:20.1.0.2:5000:sendrecv";
const std::string b = "audio:20.2.0.2:6000:sendrecv";
const std::string video_a = ",video:20.1.0.2:5002:sendrecv";
const std::string video_b = ",video:20.2.0.2:6002:sendrecv";
const std::string no_video = ",video:20.2.0.2:0:sendrecv";

std::vector<net::Port> ports_of(const protocol::Ports& ports)
{
    return ports.rtp;
}

std::vector<std::string> statuses(const protocol::SessionReport& report)
{
    std::vector<std::string> all;
    for (const auto& stream : report.streams)
        all.push_back(stream.media_type + " " + stream.status);
    return all;
}

using Statuses = std::vector<std::string>;

} // namespace

TEST_CASE("an answer with fewer streams rejects the rest")
{
    Scene scene;
    scene.request({a + video_a});
    CHECK(ports_of(scene.reply({b})).size() == 1);
    CHECK(statuses(scene.report()) == Statuses{"audio active", "video rejected"});
    const auto video = scene.report().streams.at(1);
    CHECK(video.start_time == video.end_time);
    CHECK(scene.ports.live() == 2);
}

TEST_CASE("an answer with more streams has the extra ones ignored, port 0")
{
    Scene scene;
    scene.request({a});
    const auto ports = ports_of(scene.reply({b + video_b}));
    CHECK(ports.at(0) != 0);
    CHECK(ports.at(1) == 0);
    CHECK(statuses(scene.report()) == Statuses{"audio active"});
}

TEST_CASE("a rejected stream gives its ports back, an early rejection does not")
{
    Scene scene;
    scene.request({a + video_a});
    CHECK(ports_of(scene.early({b + no_video})).at(1) == 0);
    CHECK(scene.ports.live() == 4);
    CHECK(statuses(scene.report()) == Statuses{"audio active"});
    CHECK(ports_of(scene.reply({b + no_video})).at(1) == 0);
    CHECK(scene.ports.live() == 2);
    CHECK(statuses(scene.report()) == Statuses{"audio active", "video rejected"});
}

TEST_CASE("a re-INVITE that is answered with port 0 closes a stream that was running")
{
    Scene scene;
    scene.request({a + video_a});
    scene.reply({b + video_b});
    scene.advance(10s);
    scene.request({a + video_a, 2, "A", "B"});
    scene.reply({b + no_video, 2});
    CHECK(statuses(scene.report()) == Statuses{"audio active", "video closed"});
    CHECK(scene.report().streams.at(1).end_time == 10);
}

TEST_CASE("an answer of another media type is an error and leaves the session as it was")
{
    Scene scene;
    scene.request({a});
    const auto wrong = scene.try_reply({"video:20.2.0.2:6000:sendrecv"});
    REQUIRE_FALSE(wrong);
    CHECK(wrong.error().message.find("call") != std::string::npos);
    CHECK_FALSE(scene.report().start_time);
    CHECK(scene.report().to_tag.empty());
    CHECK(scene.ports.live() == 2);
    scene.reply({b});
}

TEST_CASE("an offer of port 0 is answered 0 and makes no stream")
{
    Scene scene;
    CHECK(ports_of(scene.request({a + ",video:20.1.0.2:0:sendrecv"})).at(1) == 0);
    CHECK(scene.ports.streams_made() == 1);
    CHECK(ports_of(scene.reply({b + video_b})).at(1) == 0);
    CHECK(statuses(scene.report()) == Statuses{"audio active"});
}

TEST_CASE("a session of nothing but port 0 is answered with the relay's address")
{
    Scene scene;
    const auto offered = scene.request({"audio:20.1.0.2:0:sendrecv"});
    CHECK(offered.address == scene.ports.ipv4);
    CHECK(offered.rtp == std::vector<net::Port>{0});
    CHECK(ports_of(scene.reply({"audio:20.2.0.2:0:sendrecv"})) == std::vector<net::Port>{0});
    CHECK(scene.report().start_time);
    CHECK(scene.ports.acquired() == 0);
}

TEST_CASE("the advertised address is told, the bound one recorded")
{
    Scene scene;
    scene.ports.advertised = *net::Address::parse("198.18.0.1");
    const auto offered = scene.request({a});
    CHECK(offered.address == scene.ports.advertised);
    scene.reply({b});
    const auto stream = scene.report().streams.at(0);
    CHECK(stream.callee_local == "20.3.0.1:" + std::to_string(offered.rtp.at(0)));
}

TEST_CASE("all legs of a party share the local address that routes to it")
{
    Scene scene;
    Says says{a};
    says.signaling = "20.1.0.9_20.2.0.9";
    scene.request(says);
    CHECK(scene.ports.asked_toward == std::vector<net::Address>{*net::Address::parse("20.1.0.9"),
                                                                *net::Address::parse("20.2.0.9")});
    scene.reply({b});
    scene.request({a + video_a, 2, "A", "B"});
    CHECK(scene.ports.asked_toward.size() == 2);
}

TEST_CASE("the addresses of a script are the request's, also on a reply that begins the session")
{
    Scene scene;
    Says says{b};
    says.signaling = "20.1.0.9_20.2.0.9";
    scene.reply(says); // the offer, in the 200 to an INVITE without SDP
    CHECK(scene.ports.asked_toward == std::vector<net::Address>{*net::Address::parse("20.1.0.9"),
                                                                *net::Address::parse("20.2.0.9")});
}

TEST_CASE("when ports run out the request fails and all is as it was")
{
    Scene scene;
    const auto call = scene.call();
    SECTION("a new session")
    {
        for (const std::size_t left : {0U, 1U, 2U, 3U}) {
            scene.ports.pairs_left = left;
            const auto refused = scene.try_request({a + video_a, 1, "A", "", "other"});
            REQUIRE_FALSE(refused);
            CHECK(refused.error().code == Error::Code::exhausted);
            CHECK(scene.ports.live() == 2);
            CHECK(scene.table.session_count() == 1);
            CHECK_FALSE(scene.table.knows("other", "A"));
        }
    }
    SECTION("a re-INVITE")
    {
        scene.ports.pairs_left = 1;
        const std::string held = "audio:20.1.0.2:5000:sendonly";
        CHECK_FALSE(scene.try_request({held + video_a, 2, "A", "B"}));
        CHECK(scene.ports.live() == 2);
        CHECK(statuses(scene.report()) == Statuses{"audio active"});
        scene.ports.pairs_left = 2;
        CHECK(ports_of(scene.request({a + video_a, 2, "A", "B"})).at(0) == call.for_callee);
    }
}

TEST_CASE("IPv6 media gets IPv6 ports, or an error where the relay has none")
{
    Scene scene;
    const std::string a6 = "audio:2001:db8::a:20000:sendrecv:ice=no";
    const std::string b6 = "audio:2001:db8::b:30000:sendrecv:ice=no";
    SECTION("served")
    {
        const auto offered = scene.request({a6});
        CHECK(offered.address == scene.ports.ipv6);
        const auto answered = scene.reply({b6});
        CHECK(answered.address == scene.ports.ipv6);
    }
    SECTION("not served")
    {
        scene.ports.serves_ipv6 = false;
        CHECK_FALSE(scene.try_request({a6}));
        CHECK(scene.table.session_count() == 0);
    }
    SECTION("both families in one SDP")
    {
        CHECK_FALSE(scene.try_request({a + ",video:2001:db8::a:20002:sendrecv"}));
        CHECK(scene.ports.acquired() == 0);
    }
    SECTION("a disabled line has no family")
    {
        scene.request({a + ",video:2001:db8::a:0:sendrecv"});
    }
    SECTION("an answer of the other family")
    {
        scene.request({a});
        CHECK_FALSE(scene.try_reply({b6}));
        CHECK_FALSE(scene.report().start_time);
        scene.reply({b});
    }
    SECTION("a re-INVITE of the other family gets a new stream")
    {
        scene.call();
        const auto offered = scene.request({a6, 2, "A", "B"});
        CHECK(offered.address == scene.ports.ipv6);
        scene.reply({b6, 2});
        CHECK(statuses(scene.report()) == Statuses{"audio closed", "audio active"});
    }
}

TEST_CASE("IPv6 packets count with their longer header")
{
    Scene scene;
    const auto offered = scene.request({"audio:2001:db8::a:20000:sendrecv"});
    const auto answered = scene.reply({"audio:2001:db8::b:30000:sendrecv"});
    scene.rtp(endpoint("2001:db8::a", 20000), answered.rtp.at(0));
    CHECK(scene.report().streams.at(0).rtp_from_caller == Traffic{1, 220});
}

TEST_CASE("a 183 starts the session, the 200 is its answer")
{
    Scene scene;
    scene.request({a});
    scene.advance(1500ms);
    const double wall_183 = 1700000001.5;
    scene.early({b});
    scene.advance(3s);
    CHECK(scene.report().start_time == wall_183);
    CHECK_FALSE(scene.report().answered_time);
    scene.reply({b});
    CHECK(scene.report().start_time == wall_183);
    CHECK(scene.report().answered_time == wall_183 + 3);
    CHECK(scene.report().duration == 3);
}

TEST_CASE("an early UPDATE does not answer the call")
{
    Scene scene;
    scene.request({a});
    scene.early({b});
    scene.request({a, 2, "A", "B"});
    scene.reply({b, 2});
    CHECK_FALSE(scene.report().answered_time);
    scene.advance(2s);
    scene.reply({b});
    CHECK(scene.report().answered_time == 1700000002.0);
}

TEST_CASE("a 200 without SDP sets the tag, the user agent and the time")
{
    Scene scene;
    scene.early({b});
    scene.request({a, 2, "A", "B"});
    scene.advance(5s);
    Says ok{""};
    ok.user_agent = "UA-bob";
    const auto ports = scene.reply(ok);
    CHECK(ports.address == scene.ports.ipv4);
    REQUIRE(ports.rtp.size() == 1);
    CHECK(scene.ports.behind(ports.rtp[0])->role.party == Party::caller);
    CHECK(scene.report().to_tag == "B");
    CHECK(scene.report().callee_ua == "UA-bob");
    CHECK(scene.report().answered_time == 1700000005.0);
}

TEST_CASE("a message without media for an unknown session is an error and makes nothing")
{
    Scene scene;
    const auto refused = scene.try_reply({""});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Error::Code::not_found);
    CHECK(scene.table.session_count() == 0);
}

TEST_CASE("a 180 without SDP and without a tag changes nothing")
{
    Scene scene;
    const auto offered = scene.request({a});
    scene.early({""});
    CHECK(scene.report().to_tag.empty());
    CHECK_FALSE(scene.report().answered_time);
    scene.reply({b});
    CHECK(statuses(scene.report()) == Statuses{"audio active"});
}

TEST_CASE("stale messages change nothing and get the ports")
{
    Scene scene;
    const auto call = scene.call();
    SECTION("an old reply after a re-INVITE was answered")
    {
        scene.request({a, 2, "A", "B"});
        scene.reply({b, 2});
        CHECK(ports_of(scene.reply({"audio:20.2.0.7:7000:inactive"})) ==
              std::vector<net::Port>{call.for_caller});
    }
    SECTION("an old request, whose stream was replaced: the live one there")
    {
        scene.request({"audio:20.1.0.2:5100:sendrecv", 2, "A", "B"});
        const auto now_for_caller = ports_of(scene.reply({b, 2}));
        const auto stale = ports_of(scene.request({a, 1}));
        CHECK(stale.at(0) != call.for_callee);
        CHECK(stale.at(0) == now_for_caller.at(0) + 2);
    }
    SECTION("an old request with a line more")
    {
        scene.request({a, 2, "A", "B"});
        CHECK(ports_of(scene.request({a + video_a, 1})) ==
              std::vector<net::Port>{call.for_callee, 0});
    }
    const auto& stream = *scene.session().streams().back();
    CHECK(stream.side(Party::callee).signalled == scene.callee);
    CHECK_FALSE(stream.on_hold());
}

TEST_CASE("the last four rounds are kept; an older number is an error")
{
    Scene scene;
    scene.call();
    for (const std::uint32_t cseq : {2U, 3U, 4U}) {
        scene.request({a, cseq, "A", "B"});
        scene.reply({b, cseq});
    }
    scene.request({a, 1, "A", "B"});
    scene.request({a, 5, "A", "B"});
    CHECK_FALSE(scene.try_request({a, 1, "A", "B"}));
    CHECK_FALSE(scene.try_reply({b, 1}));
    CHECK_FALSE(scene.try_request({a, 0, "A", "B"}));
    scene.request({a, 2, "A", "B"});
    scene.reply({b, 5});
}

TEST_CASE("a forgotten round still counts: what is not above the highest is not new")
{
    Scene scene;
    scene.call();
    for (const std::uint32_t cseq : {1U, 2U, 3U, 4U}) {
        scene.request({b, cseq, "B", "A"});
        scene.reply({a, cseq, "B", "A"});
    }
    CHECK_FALSE(scene.try_reply({b, 1}));
    CHECK(statuses(scene.report()) == Statuses{"audio active"});
}

TEST_CASE("the last answered set stays alive over many refused offers")
{
    Scene scene;
    const auto call = scene.call();
    for (std::uint32_t cseq = 2; cseq < 12; ++cseq) {
        scene.request(
            {"audio:20.1.0.2:" + std::to_string(5000 + 10 * cseq) + ":sendrecv", cseq, "A", "B"});
        CHECK(scene.ports.live() == 4);
    }
    CHECK(ports_of(scene.request({a, 12, "A", "B"})).at(0) == call.for_callee);
    CHECK(scene.ports.live() == 2);
    CHECK(statuses(scene.report()) == Statuses{"audio active"});
}

TEST_CASE("an unanswered offer of the other party is not replaced")
{
    Scene scene;
    scene.call();
    scene.request({b + ",video:20.2.0.2:6002:sendrecv", 1, "B", "A"});
    CHECK(scene.ports.live() == 4);
    scene.request({a, 2, "A", "B"});
    CHECK(scene.ports.live() == 4);
    scene.request({b, 2, "B", "A"});
    CHECK(scene.ports.live() == 2);
}

TEST_CASE("an early answered stream is not dropped silently when another offer replaces it")
{
    Scene scene;
    scene.request({a});
    const auto early = scene.early({b});
    scene.rtp(scene.callee, ports_of(early).at(0) + 2);
    scene.request({"audio:20.1.0.2:5100:sendrecv", 2});
    CHECK(scene.ports.live() == 4);
    scene.reply({b, 2});
    CHECK(scene.ports.live() == 2);
    CHECK(statuses(scene.report()) == Statuses{"audio closed", "audio active"});
}

TEST_CASE("an offer that was answered early keeps its streams in the next one")
{
    Scene scene;
    scene.call();
    const auto second = ports_of(scene.request({a + video_a, 2, "A", "B"}));
    scene.early({b + video_b, 2});
    CHECK(ports_of(scene.request({a + video_a, 3, "A", "B"})) == second);
}

TEST_CASE("an early answered offer that was refused does not cost the stream before it")
{
    Scene scene;
    const auto call = scene.call();
    scene.request({"audio:20.1.0.2:5100:sendrecv", 2, "A", "B"});
    scene.early({b, 2});
    CHECK(ports_of(scene.request({a, 3, "A", "B"})).at(0) == call.for_callee);
}

TEST_CASE("two places never share a stream")
{
    Scene scene;
    scene.request({a + "," + a});
    scene.reply({b + "," + b});
    const auto ports = ports_of(scene.request({a + "," + a, 2, "A", "B"}));
    CHECK(ports.at(0) != ports.at(1));
    CHECK(scene.ports.streams_made() == 2);
}

TEST_CASE("a retransmission with other addresses keeps the ports and opens the round again")
{
    Scene scene;
    const auto offered = ports_of(scene.request({a}));
    scene.reply({b});
    const auto again = ports_of(scene.request({"audio:20.1.0.2:5100:sendrecv"}));
    CHECK(again == offered);
    CHECK(scene.session().last_role() == MessageRole::again);
    const auto& stream = *scene.session().streams().front();
    CHECK(stream.side(Party::caller).signalled == endpoint("20.1.0.2", 5100));
    scene.reply({b, 1, "A", "B2"});
    CHECK(scene.session().last_role() == MessageRole::answer);
}

TEST_CASE("an INVITE that comes back through us is the same one")
{
    Scene scene;
    const auto offered = ports_of(scene.request({a}));
    SECTION("with the RTP port")
    {
        const std::string own = "audio:20.3.0.1:" + std::to_string(offered.at(0)) + ":sendrecv";
        CHECK(ports_of(scene.request({own})) == offered);
    }
    SECTION("by the advertised address of another session's making it is another one")
    {
        CHECK(ports_of(scene.request({"audio:20.3.0.1:50000:sendrecv"})) == offered);
        CHECK(scene.session().streams().front()->side(Party::caller).signalled ==
              endpoint("20.3.0.1", 50000));
        return;
    }
    const auto& stream = *scene.session().streams().front();
    CHECK(stream.side(Party::caller).signalled == scene.caller);
    const auto answered = ports_of(scene.reply({b}));
    const std::string own = "audio:20.3.0.1:" + std::to_string(answered.at(0)) + ":sendrecv";
    scene.rtp(scene.callee, offered.at(0));
    CHECK(ports_of(scene.reply({own})) == answered);
    CHECK(stream.side(Party::callee).signalled == scene.callee);
    CHECK(stream.component(ComponentKind::rtp).leg(Party::callee).latch().learned());
}

TEST_CASE("a re-INVITE that spirals keeps its stream")
{
    Scene scene;
    const auto call = scene.call();
    const std::string own = "audio:20.3.0.1:" + std::to_string(call.for_callee) + ":sendrecv";
    CHECK(ports_of(scene.request({own, 2, "A", "B"})).at(0) == call.for_callee);
    CHECK(scene.session().streams().front()->side(Party::caller).signalled == scene.caller);
}

TEST_CASE("sessions are found by either tag, and only by the caller's")
{
    Scene scene;
    scene.call();
    CHECK(scene.table.knows("call", "A"));
    CHECK_FALSE(scene.table.knows("call", "B"));
    scene.request({b, 1, "B", "A"});
    CHECK(scene.table.session_count() == 1);
    scene.request({a, 1, "A2"});
    CHECK(scene.table.session_count() == 2);
}

TEST_CASE("a remove by either party ends the session")
{
    for (const auto& [from, to] : {std::pair{"A", "B"}, {"B", "A"}, {"A", ""}, {"A", "486"}}) {
        Scene scene;
        scene.call();
        const auto report = scene.remove(from, to);
        REQUIRE(report);
        CHECK(statuses(*report) == Statuses{"audio closed"});
        CHECK(scene.table.session_count() == 0);
        CHECK(scene.ports.live() == 0);
        CHECK(scene.remove(from, to).error().code == Error::Code::not_found);
    }
}

TEST_CASE("a remove that names only a late fork forgets it and leaves the call")
{
    Scene scene;
    scene.call();
    scene.reply({"audio:20.2.0.3:30:sendrecv", 1, "A", "B2"});
    for (const bool by_callee : {false, true}) {
        const auto report = by_callee ? scene.remove("B2", "A") : scene.remove("A", "B2");
        REQUIRE(report);
        CHECK(statuses(*report) == Statuses{"audio active"});
        CHECK(scene.table.knows("call", "A"));
        scene.reply({"audio:20.2.0.3:30:sendrecv", 1, "A", "B2"});
    }
    CHECK(scene.remove("A", "B2"));
    CHECK(scene.table.session_count() == 1);
    CHECK(scene.remove("A", "B2"));
    CHECK(scene.table.session_count() == 0);
}

TEST_CASE("a late fork that negotiates on is no late fork any more")
{
    Scene scene;
    scene.call();
    scene.reply({b, 1, "A", "B2"});
    scene.request({a, 2, "A", "B2"});
    CHECK(scene.remove("B2", "A"));
    CHECK(scene.table.session_count() == 0);
}

TEST_CASE("of two early forks the later answer holds until the final one")
{
    Scene scene;
    scene.request({a});
    scene.early({b});
    scene.early({"audio:20.2.0.3:7000:sendrecv"});
    const auto& stream = *scene.session().streams().front();
    CHECK(stream.side(Party::callee).signalled == endpoint("20.2.0.3", 7000));
    scene.reply({b, 1, "A", "B1"});
    CHECK(stream.side(Party::callee).signalled == scene.callee);
}

TEST_CASE("a fork's 200 revives the stream that another fork's UPDATE has replaced")
{
    Scene scene;
    scene.request({a});
    scene.early({b});
    scene.request({"audio:20.1.0.2:5100:sendrecv", 2, "A", "B1"});
    const auto replaced = ports_of(scene.reply({b, 2, "A", "B1"}));
    CHECK(ports_of(scene.reply({"audio:20.2.0.3:7000:sendrecv", 1, "A", "B2"})) == replaced);
    CHECK(scene.session().last_role() == MessageRole::answer);
}

TEST_CASE("the callee's tag is known from its own early UPDATE")
{
    Scene scene;
    scene.request({a});
    scene.early({b});
    scene.request({b, 1, "B", "A"});
    scene.reply({a, 1, "B", "A"});
    CHECK(scene.report().to_tag == "B");
}

TEST_CASE("too many dialog tags are refused, known ones go on")
{
    Scene scene;
    scene.call();
    Result<protocol::Ports> last = invalid("");
    for (int i = 0; i < 100; ++i)
        last = scene.try_request({b, 1, "B" + std::to_string(i), "A"});
    CHECK_FALSE(last);
    scene.request({a, 2, "A", "B"});
    scene.reply({b, 2, "A", "B"});
}

TEST_CASE("crossed re-INVITEs do not close what the newer one has proposed")
{
    Scene scene;
    scene.call();
    scene.request({"audio:20.2.0.2:6100:sendrecv", 1, "B", "A"});
    const auto newer = scene.request({"audio:20.1.0.2:5100:sendrecv", 2, "A", "B"});
    scene.early({b, 2});
    CHECK(scene.ports.live() == 6);
    scene.reply({a, 1, "B", "A"});
    CHECK(scene.ports.live() == 4);
    const auto ports = scene.reply({b, 2});
    CHECK(ports.rtp.at(0) + 2 == newer.rtp.at(0));
    CHECK(scene.ports.live() == 2);
    CHECK(statuses(scene.report()) == Statuses{"audio closed", "audio closed", "audio active"});
}

TEST_CASE("a re-INVITE without end does not eat the memory")
{
    Scene scene;
    scene.call();
    std::uint32_t cseq = 1;
    Result<protocol::Ports> last = invalid("");
    const std::string moved = "audio:20.1.0.2:5100:sendrecv";
    do {
        ++cseq;
        last = scene.try_request({cseq % 2 ? a : moved, cseq, "A", "B"});
    } while (last && scene.try_reply({b, cseq}));
    CHECK(cseq == 1001);
    CHECK(last.error().code == Error::Code::exhausted);
    CHECK(scene.try_request({cseq % 2 ? moved : a, cseq + 1, "A", "B"}));
}
