// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "base/log.hpp"
#include "fakes/state_store.hpp"
#include "relay/owners.hpp"

using namespace mediaproxy;
using namespace mediaproxy::relay;

namespace
{

/// What a relay that starts with that store would have to tell.
std::vector<std::pair<std::string, std::string>> left_in(FakeStore& state)
{
    std::vector<std::pair<std::string, std::string>> left;
    CallStore(&state).load([&](std::string, std::string_view owner, std::string json) {
        left.emplace_back(owner, std::move(json));
    });
    return left;
}

} // namespace

TEST_CASE("an owner keeps its number")
{
    Owners owners;
    const auto one = owners.id_of("one"), two = owners.id_of("two");
    CHECK(one != 0);
    CHECK(one != two);
    CHECK(owners.id_of("one") == one);
    CHECK(owners.name(two) == "two");
}

TEST_CASE("a dispatcher that says its name takes over what came under its address")
{
    Owners owners;
    const auto address = owners.id_of("192.0.2.1:25060"), name = owners.id_of("disp");
    owners.put(address, "r1", "{1}");
    owners.bequeath(address, name);
    owners.put(address, "r2", "{2}");
    CHECK(owners.resolve(address) == name);
    CHECK(owners.name(address) == "disp");
    REQUIRE(owners.letters(name).size() == 2);
    CHECK(owners.letters(name)[0].json == "{1}");
    CHECK(owners.letters(name)[1].json == "{2}");
    INFO("no circles");
    owners.bequeath(name, address);
    CHECK(owners.resolve(name) == name);
    INFO("somebody else is at the address now");
    owners.revoke(address);
    CHECK(owners.letters(address).empty());
}

TEST_CASE("an address that is given up is nobody's heir")
{
    Owners owners;
    const auto name = owners.id_of("disp"), second = owners.id_of("disp at 192.0.2.2"),
               third = owners.id_of("disp at 192.0.2.3");
    owners.bequeath(name, second);
    owners.put(name, "r1", "{1}");
    using Ids = std::vector<Owners::Id>;
    CHECK(owners.behind(second) == Ids{name, second});
    SECTION("its own heir takes its place")
    {
        owners.bequeath(second, third);
        CHECK(owners.behind(third) == Ids{name, second, third});
        owners.abandon(second);
        owners.revoke(second); // somebody else is there now
        CHECK(owners.resolve(name) == third);
        CHECK(owners.letters(third).size() == 1);
    }
    SECTION("without one everybody is his own")
    {
        owners.acknowledge(name, "r1");
        owners.abandon(second);
        CHECK(owners.resolve(name) == name);
    }
}

TEST_CASE("a dispatcher that comes back takes back what its heir was not told of")
{
    FakeStore state;
    CallStore store(&state);
    Owners owners(&store);
    const auto name = owners.id_of("disp"), heir = owners.id_of("disp at 192.0.2.2");
    owners.put(name, "r1", "{1}");
    owners.bequeath(name, heir);
    owners.put(name, "r2", "{2}");
    owners.put(heir, "r3", "{3}");
    owners.send(heir, 1, [](const Letter& letter) { CHECK(letter.record_id == "r1"); });
    owners.revoke(name);
    owners.take_back(name);
    REQUIRE(owners.letters(name).size() == 1);
    CHECK(owners.letters(name).front().record_id == "r2");
    CHECK(owners.unsent_count(name) == 1);
    CHECK(owners.letters(heir).size() == 2);
    CHECK(owners.unsent_count(heir) == 1);
    CHECK(owners.told_count(heir) == 1);
    const auto left = left_in(state);
    CHECK(std::count(left.begin(), left.end(),
                     std::pair<std::string, std::string>{"disp", "{2}"}) == 1);
}

TEST_CASE("a letter stays until it is acknowledged")
{
    Owners owners;
    const auto id = owners.id_of("disp");
    owners.put(id, "r1", "{1}");
    owners.put(id, "r2", "{2}");
    CHECK_FALSE(owners.acknowledge(id, "r3"));
    CHECK(owners.acknowledge(id, "r2"));
    CHECK(owners.letter_count() == 1);
    CHECK(owners.letters(id).front().record_id == "r1");
}

TEST_CASE("what was told to who acknowledges nothing goes when its bytes have arrived")
{
    Owners owners;
    const auto id = owners.id_of("disp");
    const auto tell = [&](std::string record_id) {
        owners.put(id, std::move(record_id), "{}");
        owners.send(id, SIZE_MAX, [](const Letter&) {});
    };
    tell("r1");
    owners.note_sent(id, 100);
    tell("r2");
    owners.drop_arrived(id, 99);
    CHECK(owners.told_count(id) == 2);
    owners.drop_arrived(id, 1000);
    INFO("of the second one nobody knows yet where it is");
    REQUIRE(owners.letter_count() == 1);
    CHECK(owners.letters(id).front().record_id == "r2");
    owners.note_sent(id, 200);
    owners.forget_sent(id);
    owners.drop_arrived(id, 1000);
    CHECK(owners.unsent_count(id) == 1);
}

TEST_CASE("what waits is bounded, and what does not fit is in the log")
{
    std::vector<std::string> lines;
    log::set_sink([&](log::Level, std::string_view line) { lines.emplace_back(line); });
    Owners owners(nullptr, 1000);
    const auto id = owners.id_of("disp");
    for (int i = 0; i < 10; ++i)
        owners.put(id, std::to_string(i), std::string(100, static_cast<char>('a' + i)));
    CHECK(owners.letter_count() == 4);
    CHECK(owners.letters(id).back().record_id == "9");
    REQUIRE(lines.size() == 6);
    CHECK(lines[0].find(std::string(100, 'a')) != std::string::npos);
    lines.clear();
    owners.keep_or_log();
    CHECK(lines.size() == 4);
    log::set_sink([](log::Level, std::string_view) {});
}

TEST_CASE("what ended by itself is in the store at once, until it is acknowledged")
{
    FakeStore state;
    CallStore store(&state);
    Owners owners(&store);
    const auto id = owners.id_of("disp");
    owners.put(id, "r1", "{1}");
    CHECK(left_in(state) == std::vector<std::pair<std::string, std::string>>{{"disp", "{1}"}});
    CHECK(owners.unsaved_count() == 0);
    owners.acknowledge(id, "r1");
    CHECK(left_in(state).empty());
}

TEST_CASE("an answer that is acknowledged soon never touches the store")
{
    FakeStore state;
    CallStore store(&state);
    Owners owners(&store);
    const auto id = owners.id_of("disp");
    owners.put(id, "r1", "{1}", Letter::Way::answered);
    owners.put(id, "r2", "{2}", Letter::Way::answered);
    CHECK(owners.unsaved_count() == 2);
    owners.save_old(BootClock::now() - Seconds{1});
    owners.acknowledge(id, "r1");
    CHECK(state.saves == 0);
    INFO("one that is not is saved");
    owners.save_old(BootClock::now());
    CHECK(owners.unsaved_count() == 0);
    CHECK(left_in(state) == std::vector<std::pair<std::string, std::string>>{{"disp", "{2}"}});
}

TEST_CASE("answers between reports that were saved at once are saved, too")
{
    FakeStore state;
    CallStore store(&state);
    Owners owners(&store);
    const auto id = owners.id_of("disp"), address = owners.id_of("192.0.2.1:25060");
    owners.put(id, "r1", "{1}", Letter::Way::answered);
    owners.put(id, "r2", "{2}");
    owners.put(address, "r3", "{3}", Letter::Way::answered);
    owners.bequeath(address, id);
    owners.put(id, "r4", "{4}", Letter::Way::answered);
    owners.save_old(BootClock::now());
    CHECK(owners.unsaved_count() == 0);
    const auto left = left_in(state);
    REQUIRE(left.size() == 4);
    for (const auto& [owner, json] : left)
        CHECK(owner == "disp");
}

TEST_CASE("letters are under way or not, whichever way they went")
{
    Owners owners;
    const auto id = owners.id_of("disp");
    std::vector<std::string> sent;
    const auto send = [&](const Letter& letter) { sent.push_back(letter.record_id); };
    owners.put(id, "a1", "{}", Letter::Way::answered);
    owners.put(id, "r1", "{}");
    owners.put(id, "r2", "{}");
    owners.put(id, "a2", "{}", Letter::Way::answered);
    owners.put(id, "r3", "{}");
    CHECK(owners.unsent_count(id) == 3);
    owners.send(id, 2, send);
    CHECK(sent == std::vector<std::string>{"r1", "r2"});
    owners.send(id, 2, send);
    CHECK(owners.unsent_count(id) == 1);
    owners.acknowledge(id, "r2");
    owners.send(id, 2, send);
    CHECK(sent.back() == "r3");
    CHECK(owners.unsent_count(id) == 0);
    INFO("over the next connection all that is left comes as `expired`");
    owners.forget_sent(id);
    sent.clear();
    owners.send(id, 10, send);
    CHECK(sent == std::vector<std::string>{"a1", "r1", "a2", "r3"});
}

TEST_CASE("what could not be told when the relay ends is kept for its next start")
{
    FakeStore state;
    CallStore store(&state);
    Owners owners(&store);
    owners.put(owners.id_of("disp"), "r1", "{1}", Letter::Way::answered);
    owners.keep_or_log();
    CHECK(left_in(state).size() == 1);
}
