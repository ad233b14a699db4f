// SPDX-License-Identifier: GPL-2.0-or-later
#include "scene.hpp"

// Who keeps copies of the calls is told of those that are new and those that have changed, and of
// what all of them have received.

using namespace mediaproxy;
using namespace mediaproxy::session;

namespace
{

Rules telling()
{
    Rules rules;
    rules.tell_answered = true;
    rules.record_id_prefix = "r";
    return rules;
}

struct Copies {
    explicit Copies(Scene& scene_to_watch) : scene(scene_to_watch) {}
    auto keep()
    {
        return [this](OwnerId, const protocol::SessionReport& report) {
            told.push_back(report.call_id);
            last = report;
        };
    }
    std::vector<std::string> answered()
    {
        told.clear();
        scene.table.tell_answered(scene.now, keep());
        return told;
    }
    /// A walk over all places, `step` at a time.
    std::vector<std::string> changed(std::size_t step = 100)
    {
        told.clear();
        traffic.clear();
        std::size_t place = 0;
        const auto add = [this](const SessionTraffic& one) { traffic.push_back(one); };
        do
            place = scene.table.tell_changed({place, step, 100}, scene.now, keep(), add);
        while (place != 0);
        return told;
    }
    Scene& scene;
    std::vector<std::string> told;
    protocol::SessionReport last;
    std::vector<SessionTraffic> traffic;
};

using Calls = std::vector<std::string>;

/// Two answered calls of those names; what the phones of the first were told.
auto talking_and_silent(Scene& scene)
{
    const auto talking =
        scene.call("audio:20.1.0.2:5000:sendrecv", "audio:20.2.0.2:6000:sendrecv", "talking");
    scene.call("audio:20.1.0.2:5002:sendrecv", "audio:20.2.0.2:6002:sendrecv", "silent");
    return talking;
}

} // namespace

TEST_CASE("a call is told of when it is answered for the first time")
{
    Scene scene(telling());
    Copies copies(scene);
    scene.request({"audio:20.1.0.2:5000:sendrecv"});
    CHECK_FALSE(scene.table.has_answered());
    CHECK(copies.answered().empty());
    scene.reply({"audio:20.2.0.2:6000:sendrecv"});
    CHECK(scene.table.has_answered());
    CHECK(copies.answered() == Calls{"call"});
    CHECK(copies.last.start_time);
    CHECK(copies.last.record_id == "r1");
    INFO("once");
    scene.reply({"audio:20.2.0.2:6000:sendrecv"});
    CHECK(copies.answered().empty());
}

TEST_CASE("a call that has ended meanwhile is not told of, nor another one in its place")
{
    Scene scene(telling());
    Copies copies(scene);
    scene.call();
    REQUIRE(scene.remove());
    Says offer{"audio:20.1.0.2:5000:sendrecv"};
    offer.call_id = "another";
    scene.request(offer);
    CHECK(copies.answered().empty());
}

TEST_CASE("only what has changed is told of again")
{
    Scene scene(telling());
    Copies copies(scene);
    const auto talking = talking_and_silent(scene);
    CHECK(copies.answered() == Calls{"talking", "silent"});
    scene.advance(5s);
    CHECK(copies.changed().empty());

    INFO("the first packet tells where it comes from, and its codec");
    scene.rtp(scene.caller, talking.for_caller);
    CHECK(copies.changed() == Calls{"talking"});
    CHECK(copies.last.streams.at(0).rtp_from_caller.packets == 1);
    CHECK(copies.changed().empty());

    INFO("those after it are counted, no more");
    scene.rtp(scene.caller, talking.for_caller);
    CHECK(copies.changed().empty());

    INFO("what signalling says is a change");
    Says hold{"audio:20.1.0.2:5002:sendonly"};
    hold.call_id = "silent";
    hold.cseq = 2;
    hold.to_tag = "B";
    scene.request(hold);
    CHECK(copies.changed() == Calls{"silent"});
    CHECK(copies.changed().empty());

    INFO("and so is all that the table is told to tell again");
    scene.table.tell_all_again();
    CHECK(copies.changed() == Calls{"talking", "silent"});
    CHECK(copies.changed().empty());
}

TEST_CASE("who keeps copies hears what a removed call had received")
{
    Scene scene(telling());
    Copies copies(scene);
    std::vector<SessionTraffic> removed;
    scene.table.on_removal([&](const SessionTraffic& one) { removed.push_back(one); });
    const auto told = scene.call();
    copies.answered();
    scene.rtp(scene.caller, told.for_caller);
    REQUIRE(scene.remove());
    REQUIRE(removed.size() == 1);
    CHECK(removed[0].record_id == "r1");
    CHECK(removed[0].streams.at(0).rtp.caller.packets == 1);

    INFO("not of one that was never told of");
    scene.call();
    REQUIRE(scene.remove());
    CHECK(removed.size() == 1);
}

TEST_CASE("of every answered call is told what it has received, whoever counted that")
{
    Scene scene(telling());
    Copies copies(scene);
    const auto talking = talking_and_silent(scene);
    const FlowId flow = scene.talk_and_install(talking);
    copies.changed();
    REQUIRE(copies.traffic.size() == 2);
    CHECK(copies.traffic[0].record_id == "r1");
    REQUIRE(copies.traffic[0].streams.size() == 1);
    const StreamTraffic before = copies.traffic[0].streams[0];
    CHECK(before.rtp.caller.packets == 1);
    CHECK(before.rtp.callee.packets == 1);
    CHECK(before.rtp.callee.bytes == 200);
    CHECK(copies.traffic[1].record_id == "r2");
    CHECK(copies.traffic[1].streams == std::vector{StreamTraffic{}});

    scene.table.on_readings(std::vector{scene.reading(flow, 100, 90, scene.now.mono)},
                            scene.now.mono);
    CHECK(copies.changed().empty());
    CHECK(copies.traffic.at(0).streams.at(0).rtp.caller.packets == before.rtp.caller.packets + 100);
    CHECK(copies.traffic.at(0).streams.at(0).rtp.callee.packets == before.rtp.callee.packets + 90);
}

TEST_CASE("a walk in small steps meets every call once, and no unanswered one")
{
    Scene scene(telling());
    Copies copies(scene);
    Calls all;
    for (int i = 0; i < 7; ++i) {
        all.push_back("call" + std::to_string(i));
        scene.call("audio:20.1.0.2:5000:sendrecv", "audio:20.2.0.2:6000:sendrecv", all.back());
    }
    Says offer{"audio:20.1.0.2:5000:sendrecv"};
    offer.call_id = "unanswered";
    scene.request(offer);
    CHECK(scene.table.place_count() >= 8);
    CHECK(copies.changed(3) == all);
    REQUIRE(copies.traffic.size() == 7);
    for (std::size_t i = 0; i < 7; ++i)
        CHECK(copies.traffic[i].record_id == "r" + std::to_string(i + 1));
    CHECK(copies.changed(1).empty());
}

TEST_CASE("who keeps no copies pays nothing for them")
{
    Scene scene;
    scene.call();
    CHECK_FALSE(scene.table.has_answered());
}
