// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <catch2/catch.hpp>

#include "fakes/captured_log.hpp"
#include "fakes/state_store.hpp"
#include "relay/call_store.hpp"

using namespace mediaproxy;
using namespace mediaproxy::relay;

namespace
{

protocol::SessionReport running_call(std::string record_id)
{
    protocol::SessionReport report;
    report.call_id = "call";
    report.from_tag = "f";
    report.record_id = std::move(record_id);
    report.start_time = 1000.5;
    report.duration = 7;
    report.streams.resize(2);
    report.streams[0].status = "active";
    report.streams[0].end_time = 7;
    report.streams[0].rtp_from_caller = {350, 70000};
    report.streams[1].status = "closed";
    report.streams[1].end_time = 3;
    return report;
}

struct Left {
    std::string record_id, owner;
    protocol::SessionReport report;
};

std::vector<Left> load(FakeStore& state)
{
    std::vector<Left> all;
    CallStore(&state).load([&](std::string record_id, std::string_view owner, std::string json) {
        all.push_back({std::move(record_id), std::string(owner), *protocol::parse_report(json)});
    });
    return all;
}

} // namespace

TEST_CASE("a saved call is read as it was written, whatever its owner is called")
{
    for (const std::string_view owner : {"disp", "", "two words 7 ", "1 2 3 4"}) {
        const auto text = encode({true, Seconds{12}, owner, "{\"a\": 1}"});
        const auto call = decode_saved_call(text);
        REQUIRE(call);
        CHECK(call->running);
        CHECK(call->age == Seconds{12});
        CHECK(call->owner == owner);
        CHECK(call->json == "{\"a\": 1}");
    }
    for (const std::string_view damaged :
         {"", " ", "1", "1 2", "1 2 3", "1 2 9 x", "2 0 0 {}", "x 0 0 {}", "1 -1 0 {}",
          "1 99999999999 0 {}", "1 0 99999999999999999999 {}"})
        CHECK_FALSE(decode_saved_call(damaged));
}

TEST_CASE("a call that was running when the relay was killed is lost, with its last counters")
{
    FakeStore state;
    CallStore store(&state);
    store.save_call("disp", running_call("r1"), Seconds{100});
    store.save_age(Seconds{112});
    const auto left = load(state);
    REQUIRE(left.size() == 1);
    CHECK(left[0].record_id == "r1");
    CHECK(left[0].owner == "disp");
    const protocol::SessionReport& report = left[0].report;
    CHECK(report.lost);
    CHECK(report.record_id == "r1");
    CHECK(report.start_time == 1000.5);
    CHECK(report.streams[0].rtp_from_caller.packets == 350);
    CHECK(report.all_streams_ice == false);
    INFO("it had not changed for 12 s, but the relay ran");
    CHECK(report.duration == 19);
    CHECK(report.streams[0].end_time == 19);
    CHECK(report.streams[1].end_time == 3);
}

TEST_CASE("a lost call has the traffic that was saved last, in its report or behind it")
{
    FakeStore state;
    CallStore store(&state);
    store.save_call("disp", running_call("r1"), Seconds{100});
    store.save_call("disp", running_call("r2"), Seconds{100});
    session::SessionTraffic first{"r1", std::vector<session::StreamTraffic>(2)};
    first.streams[0].rtp = {{400, 80000}, {390, 78000}};
    first.streams[0].rtcp = {{4, 400}, {5, 500}};
    std::string text;
    append_traffic(text, first);
    append_traffic(text, {"gone", {}});
    INFO("counts that are older than the report's");
    append_traffic(text, {"r2", {{{{349, 69000}, {}}, {}}}});
    store.save_traffic(3, text);
    const auto left = load(state);
    REQUIRE(left.size() == 2);
    const protocol::StreamReport& told = left[0].report.streams.at(0);
    CHECK(told.rtp_from_caller == protocol::Traffic{400, 80000});
    CHECK(told.rtp_from_callee == protocol::Traffic{390, 78000});
    CHECK(told.rtcp_from_caller == protocol::Traffic{4, 400});
    CHECK(told.rtcp_from_callee == protocol::Traffic{5, 500});
    CHECK(left[0].report.streams.at(1).rtp_from_caller == protocol::Traffic{});
    CHECK(left[1].report.streams.at(0).rtp_from_caller == protocol::Traffic{350, 70000});
    INFO("the next run finds nothing of it");
    CHECK(state.tables["relay-traffic"].empty());
}

TEST_CASE("traffic that takes the place of what was told before, and what ended says nothing")
{
    FakeStore state;
    CallStore store(&state);
    store.save_traffic(0, "r1 1 2 3 4 5 6 7 8\n");
    store.save_traffic(0, "r1 2 3 4 5 6 7 8 9\n");
    TrafficByCall found;
    read_traffic(state.tables["relay-traffic"]["0"], found);
    REQUIRE(found.size() == 1);
    CHECK(found["r1"].at(0).rtp.caller == protocol::Traffic{2, 3});
    CHECK(found["r1"].at(0).rtcp.callee == protocol::Traffic{8, 9});
    INFO("a line of before that is read later");
    read_traffic("r1 1 9 3 4 5 6 7 8\n", found);
    CHECK(found["r1"].at(0).rtp.caller == protocol::Traffic{2, 9});
    CHECK(found["r1"].at(0).rtp.callee == protocol::Traffic{4, 5});
    store.save_traffic(0, "");
    CHECK(state.tables["relay-traffic"].empty());

    store.save_letter("r1", "disp", protocol::to_json(running_call("r1")));
    store.save_traffic(0, "r1 999999 2 3 4 5 6 7 8\n");
    const auto left = load(state);
    REQUIRE(left.size() == 1);
    CHECK(left[0].report.streams.at(0).rtp_from_caller.packets == 350);
}

TEST_CASE("calls whose traffic cannot be read are reported without it; without calls nobody is")
{
    FakeStore state;
    CallStore store(&state);
    store.save_call("disp", running_call("r1"), Seconds{1});
    store.save_traffic(0, "r1 400 2 3 4 5 6 7 8\n");
    const fakes::CapturedLog log;
    state.unreadable = "relay-calls";
    CHECK(load(state).empty());
    CHECK(log.count("the calls of the earlier run cannot be read: the disk is gone") == 1);
    CHECK(state.tables["relay-calls"].size() == 1);
    state.unreadable = "relay-traffic";
    const auto left = load(state);
    REQUIRE(left.size() == 1);
    CHECK(left[0].report.streams.at(0).rtp_from_caller.packets == 350);
    CHECK(log.count("received in the end cannot be read: the disk is gone") == 1);
}

TEST_CASE("the traffic of calls that nobody acknowledges is bounded")
{
    FakeStore state;
    CallStore store(&state);
    for (std::size_t i = 0; i <= CallStore::most_ended; ++i)
        store.end_traffic({"r" + std::to_string(i), {{}}});
    store.save_traffic(0, "");
    const std::string& text = state.tables["relay-traffic"].at("ended");
    CHECK(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) ==
          CallStore::most_ended);
    INFO("room again");
    store.erase("r0");
    store.end_traffic({"late", {{}}});
    store.save_traffic(0, "");
    CHECK(state.tables["relay-traffic"].at("ended").starts_with("late "));
}

TEST_CASE("damaged lines of traffic are passed over")
{
    for (const std::string_view damaged :
         {"", "\n", " ", "r1", "r1 1 2 3 4 5 6 7 8", "r1 1\n", "r1 1 2 3 4 5 6 7\n",
          "r1 1 2 3 4 5 6 7 8 9\n", "r1 1 2 3 4 5 6 7 x\n", "r1 1 2  3 4 5 6 7\n",
          "r1 1 2 3 4 5 6 7 99999999999999999999\n"}) {
        CAPTURE(damaged);
        TrafficByCall found;
        read_traffic(damaged, found);
        CHECK(found.empty());
        read_traffic(std::string(damaged) + "\nr2 1 2 3 4 5 6 7 8\n", found);
        CHECK(found.contains("r2"));
    }
}

TEST_CASE("no duration shrinks, whatever the ages say")
{
    FakeStore state;
    CallStore(&state).save_call("disp", running_call("r1"), Seconds{100});
    const auto left = load(state);
    REQUIRE(left.size() == 1);
    CHECK(left[0].report.duration == 7);
}

TEST_CASE("the report of a call takes the place of its copy")
{
    FakeStore state;
    CallStore store(&state);
    store.save_call("disp", running_call("r1"), Seconds{1});
    protocol::SessionReport ended = running_call("r1");
    ended.duration = 30;
    store.save_letter("r1", "disp", protocol::to_json(ended));
    auto left = load(state);
    REQUIRE(left.size() == 1);
    CHECK_FALSE(left[0].report.lost);
    CHECK(left[0].report.duration == 30);
    store.erase("r1");
    CHECK(load(state).empty());
}

TEST_CASE("the age of an earlier run is not taken for this one's")
{
    FakeStore state;
    CallStore store(&state);
    store.save_age(Seconds{9000});
    CHECK(load(state).empty());
    store.save_call("disp", running_call("r1"), Seconds{2});
    const auto left = load(state);
    REQUIRE(left.size() == 1);
    CHECK(left[0].report.duration == 7);
}

TEST_CASE("a stream that ICE had left alone says so when its call is lost")
{
    protocol::SessionReport report = running_call("r1");
    for (auto& stream : report.streams)
        stream.status = "unselected ICE candidate";
    CHECK(make_lost(report, Seconds{0}).all_streams_ice == true);
    report.streams.clear();
    CHECK(make_lost(report, Seconds{0}).all_streams_ice == false);
}

TEST_CASE("a damaged call is passed over, said so, and not found again")
{
    FakeStore state;
    CallStore store(&state);
    state.tables["relay-calls"]["x"] = "what is this";
    state.tables["relay-calls"]["y"] = encode({true, Seconds{1}, "disp", "{\"no\": "});
    state.tables["relay-run"]["age"] = "old";
    store.save_call("disp", running_call("r1"), Seconds{1});
    const fakes::CapturedLog log;
    CHECK(load(state).size() == 1);
    CHECK(log.count("2 saved calls cannot be read") == 1);
    CHECK(state.tables["relay-calls"].size() == 1);
}

TEST_CASE("without a store nothing is kept and nothing is missed")
{
    CallStore store(nullptr);
    CHECK_FALSE(store.keeps());
    store.save_call("disp", running_call("r1"), Seconds{1});
    store.save_letter("r1", "disp", "{}");
    store.save_age(Seconds{1});
    store.erase("r1");
    store.load([](std::string, std::string_view, std::string) { FAIL("there is none"); });
}
