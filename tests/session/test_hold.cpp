// SPDX-License-Identifier: GPL-2.0-or-later
#include "scene.hpp"

using namespace mediaproxy;
using namespace mediaproxy::session;

namespace
{

const std::string a = "audio:20.1.0.2:5000:sendrecv";
const std::string b = "audio:20.2.0.2:6000:sendrecv";
const std::string zero_a = "audio:0.0.0.0:5000:sendrecv";

std::string held(std::string media, const std::string& direction)
{
    return media.replace(media.rfind(':') + 1, std::string::npos, direction);
}

std::string status(const Scene& scene)
{
    return scene.report().streams.at(0).status;
}

Rules short_rules()
{
    Rules rules;
    rules.stream_timeout = 5s;
    rules.on_hold_timeout = 30s;
    rules.idle_timeout = 4s;
    return rules;
}

} // namespace

TEST_CASE("either side may hold")
{
    struct Case {
        std::string offered, answered;
        bool on_hold;
    };
    const std::vector<Case> cases = {
        {held(a, "sendonly"), held(b, "recvonly"), true},
        {held(a, "inactive"), held(b, "inactive"), true},
        {zero_a, b, true},
        {a, held(b, "sendonly"), true},
        {a, held(b, "inactive"), true},
        {held(a, "recvonly"), held(b, "sendonly"), true},
        {a, "audio:0.0.0.0:6000:sendrecv", true},
        {held(a, "recvonly"), b, false},
        {a, held(b, "recvonly"), false},
        {a, b, false},
    };
    for (const Case& row : cases) {
        INFO(row.offered << " / " << row.answered);
        Scene scene;
        scene.call(row.offered, row.answered);
        CHECK(status(scene) == (row.on_hold ? "on hold" : "active"));
        Scene later;
        later.call();
        later.request({row.offered, 2, "A", "B"});
        later.reply({row.answered, 2});
        CHECK(status(later) == (row.on_hold ? "on hold" : "active"));
    }
}

TEST_CASE("IPv6 is put on hold by ::")
{
    Scene scene;
    scene.call("audio:2001:db8::a:5000:sendrecv", "audio:2001:db8::b:6000:sendrecv");
    scene.request({"audio::::5000:sendrecv", 2, "A", "B"});
    CHECK(status(scene) == "on hold");
    CHECK(scene.ports.streams_made() == 1);
}

TEST_CASE("0.0.0.0 neither replaces the stored address nor resets the leg")
{
    Scene scene;
    const auto call = scene.call();
    scene.rtp(scene.caller, call.for_caller);
    scene.rtp(scene.callee, call.for_callee);
    const auto& stream = *scene.session().streams().front();
    SECTION("in an offer")
    {
        scene.request({zero_a, 2, "A", "B"});
        scene.reply({b, 2});
    }
    SECTION("in an answer")
    {
        scene.request({b, 1, "B", "A"});
        scene.reply({zero_a, 1, "B", "A"});
    }
    CHECK(status(scene) == "on hold");
    CHECK(stream.side(Party::caller).signalled == scene.caller);
    CHECK(scene.report().streams.at(0).caller_remote == "20.1.0.2:5000");
    scene.request({a, 3, "A", "B"});
    scene.reply({b, 3});
    CHECK(status(scene) == "active");
    CHECK(scene.ports.streams_made() == 1);
}

TEST_CASE("a call that was held from its start keeps its stream when it gets a real address")
{
    Scene scene;
    const auto offered = scene.request({zero_a});
    const auto answered = scene.reply({b});
    CHECK(scene.rtp(scene.callee, offered.rtp.at(0)).action == Verdict::Action::drop);
    SECTION("with the same port")
    {
        CHECK(scene.request({a, 2, "A", "B"}).rtp == offered.rtp);
        CHECK(scene.session().streams().front()->side(Party::caller).signalled == scene.caller);
        CHECK(scene.rtp(scene.callee, offered.rtp.at(0)).to == scene.caller);
    }
    SECTION("with the same port, in an answer, without a reset")
    {
        scene.rtp(scene.caller, answered.rtp.at(0));
        scene.request({b, 1, "B", "A"});
        scene.reply({a, 1, "B", "A"});
        CHECK(scene.report().streams.at(0).caller_remote == "20.1.0.2:5000");
    }
    SECTION("but not with another port")
    {
        CHECK(scene.request({"audio:20.1.0.2:5100:sendrecv", 2, "A", "B"}).rtp != offered.rtp);
    }
}

TEST_CASE("a hold address with another port is another stream")
{
    Scene scene;
    const auto call = scene.call();
    CHECK(scene.request({"audio:0.0.0.0:5100:sendrecv", 2, "A", "B"}).rtp.at(0) != call.for_callee);
}

TEST_CASE("a held call has one timeout only")
{
    Scene scene(short_rules());
    const auto call = scene.call();
    scene.talk_for(call, 1s);
    scene.request({held(a, "sendonly"), 2, "A", "B"});
    scene.reply({held(b, "recvonly"), 2});
    SECTION("which ends it")
    {
        CHECK(scene.run(29999ms).empty());
        const auto ended = scene.run(1ms);
        REQUIRE(ended.size() == 1);
        CHECK(ended[0].report.streams.at(0).status == "on hold timeout");
        CHECK(ended[0].report.streams.at(0).timeout_wait == 30);
        CHECK(ended[0].report.streams.at(0).end_time == 31);
    }
    SECTION("packets or not")
    {
        scene.talk_for(call, 29s);
        CHECK(scene.run(1s).size() == 1);
    }
    SECTION("and resuming starts the others again")
    {
        CHECK(scene.run(20s).empty());
        scene.request({a, 3, "A", "B"});
        scene.reply({b, 3});
        CHECK(status(scene) == "active");
        CHECK(scene.run(4999ms).empty());
        const auto ended = scene.run(1ms);
        REQUIRE(ended.size() == 1);
        CHECK(ended[0].report.streams.at(0).status == "no-traffic timeout");
    }
    SECTION("and media after resuming keeps it")
    {
        scene.run(20s);
        scene.request({a, 3, "A", "B"});
        scene.reply({b, 3});
        scene.talk_for(call, 40s);
    }
}

TEST_CASE("a phone that was silent on hold may come back from another port of its NAT")
{
    const net::Endpoint moved = endpoint("20.1.0.2", 61000), stranger = endpoint("20.9.9.9", 5000);
    Scene scene;
    const auto call = scene.call();
    const FlowId id = scene.talk_and_install(call);
    scene.request({held(a, "inactive"), 2, "A", "B"});
    scene.reply({held(b, "inactive"), 2});
    const auto is_dropped = [&](const net::Endpoint& source, net::Port to) {
        return scene.rtp(source, to).action == Verdict::Action::drop;
    };
    const auto resume = [&] {
        scene.request({a, 3, "A", "B"});
        scene.reply({b, 3});
    };
    SECTION("and nobody else after it")
    {
        CHECK(scene.run(25s).empty());
        CHECK(is_dropped(moved, call.for_caller));
        resume();
        CHECK(scene.fast_path.uninstalled == std::vector<FlowId>{id});
        INFO("until it is heard, media goes to its old port, and in user space");
        const Verdict before = scene.rtp(scene.callee, call.for_callee);
        CHECK(before.to == scene.caller);
        CHECK_FALSE(before.install_ready);
        const Verdict first = scene.rtp(moved, call.for_caller);
        CHECK(first.action == Verdict::Action::forward);
        CHECK(first.install_ready);
        CHECK(is_dropped(scene.caller, call.for_caller));
        CHECK(is_dropped(stranger, call.for_callee));
        CHECK(scene.rtp(scene.callee, call.for_callee).to == moved);
    }
    SECTION("but not so long after the resume that its stream could have timed out")
    {
        CHECK(scene.run(25s).empty());
        resume();
        scene.advance(Rules{}.stream_timeout);
        CHECK(is_dropped(stranger, call.for_caller));
        CHECK_FALSE(is_dropped(scene.caller, call.for_caller));
    }
    SECTION("but not when it is on hold again")
    {
        CHECK(scene.run(25s).empty());
        resume();
        scene.request({held(a, "inactive"), 4, "A", "B"});
        CHECK(is_dropped(stranger, call.for_caller));
    }
    SECTION("or from the old one")
    {
        CHECK(scene.run(25s).empty());
        resume();
        scene.rtp(scene.caller, call.for_caller);
        CHECK(is_dropped(moved, call.for_caller));
    }
    SECTION("but not from the relay itself")
    {
        CHECK(scene.run(25s).empty());
        resume();
        CHECK(is_dropped({scene.ports.ipv4, call.for_callee}, call.for_caller));
    }
    SECTION("but not after a short hold")
    {
        CHECK(scene.run(24s).empty());
        resume();
        CHECK(is_dropped(moved, call.for_caller));
        CHECK(scene.fast_path.uninstalled.empty());
    }
    SECTION("but not when the last counters of its flow show that it spoke")
    {
        CHECK(scene.run(25s).empty());
        scene.fast_path.totals[id] = scene.reading(id, 50, 50, scene.now.mono);
        resume();
        CHECK(is_dropped(moved, call.for_caller));
    }
}

TEST_CASE("a hold that both sides asked for ends when both have resumed")
{
    Scene scene;
    scene.call();
    scene.request({held(a, "sendonly"), 2, "A", "B"});
    scene.reply({held(b, "inactive"), 2});
    scene.request({a, 3, "A", "B"});
    scene.reply({held(b, "inactive"), 3});
    CHECK(status(scene) == "on hold");
    scene.request({b, 1, "B", "A"});
    scene.reply({a, 1, "B", "A"});
    CHECK(status(scene) == "active");
}

TEST_CASE("a refused hold is undone by its owner's next offer")
{
    Scene scene;
    scene.call();
    scene.request({held(a, "sendonly"), 2, "A", "B"});
    CHECK(status(scene) == "on hold");
    SECTION("that has another stream at the place")
    {
        scene.request({"image:20.1.0.2:5000:sendrecv", 3, "A", "B"});
        CHECK(status(scene) == "active");
    }
    SECTION("again refused, and again undone")
    {
        scene.request({held(a, "inactive"), 3, "A", "B"});
        CHECK(status(scene) == "on hold");
        scene.request({"image:20.1.0.2:5000:sendrecv", 4, "A", "B"});
        CHECK(status(scene) == "active");
    }
    SECTION("not by the other party's offer")
    {
        scene.request({b, 1, "B", "A"});
        CHECK(status(scene) == "on hold");
    }
}

TEST_CASE("a refused resume is undone")
{
    Scene scene;
    scene.call();
    scene.request({held(a, "sendonly"), 2, "A", "B"});
    scene.reply({held(b, "recvonly"), 2});
    scene.request({a, 3, "A", "B"});
    CHECK(status(scene) == "active");
    scene.request({"image:20.1.0.2:5000:sendrecv", 4, "A", "B"});
    CHECK(status(scene) == "on hold");
}

TEST_CASE("a hold that was answered stays when a later offer is refused")
{
    Scene scene;
    scene.call();
    scene.request({held(a, "sendonly"), 2, "A", "B"});
    scene.early({held(b, "recvonly"), 2});
    scene.request({"image:20.1.0.2:5000:sendrecv", 3, "A", "B"});
    CHECK(status(scene) == "on hold");
}
