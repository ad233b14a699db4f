// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "call.hpp"
#include "fakes/fake_fast_path.hpp"
#include "fakes/fake_ports.hpp"
#include "fakes/state_store.hpp"
#include "relay/call_saver.hpp"

// What of running calls is in the store, and when. The calls have no sockets here.

using namespace mediaproxy;
using namespace mediaproxy::relay;

namespace
{

const net::Address phone = net::Address::v4({20, 1, 0, 2});

session::Rules rules()
{
    session::Rules rules;
    rules.tell_answered = true;
    rules.record_id_prefix = "r";
    return rules;
}

struct House {
    void call(int number)
    {
        const auto updates = updates_of(number);
        REQUIRE(table.update(updates.offer(), owner, read_clocks()));
        REQUIRE(table.update(updates.answer(), owner, read_clocks()));
        saver.look();
    }
    void call_until(int last)
    {
        for (int number = 1; number <= last; ++number)
            call(number);
    }
    static test::CallUpdates updates_of(int number)
    {
        return {"c" + std::to_string(number), {phone, 5000}, {phone, 6000}, {}};
    }
    /// A packet from the caller of that call.
    void hear(int number)
    {
        const auto slot = 2 * static_cast<std::uint32_t>(number - 1); // the callee's is behind it
        table.on_packet(ports.lent().at(slot).role, {phone, 5000}, test::rtp(), BootClock::now());
    }
    protocol::SessionReport remove(int number)
    {
        return *table.remove(updates_of(number).bye(), read_clocks());
    }
    bool await(const std::function<bool()>& condition) { return test::run_until(io, condition); }
    std::map<std::string, std::string>& calls() { return store.tables["relay-calls"]; }
    std::map<std::string, std::string>& traffic() { return store.tables["relay-traffic"]; }
    /// Until the calls were looked at again, of which there is one stretch.
    void await_walk()
    {
        store.tables["relay-run"].clear();
        REQUIRE(await([&] { return !store.tables["relay-run"].empty(); }));
    }
    /// What the next start finds.
    std::map<std::string, protocol::SessionReport> left()
    {
        std::map<std::string, protocol::SessionReport> found;
        FakeStore copy = store;
        CallStore(&copy).load([&](std::string record_id, std::string_view, std::string json) {
            found[record_id] = *protocol::parse_report(json);
        });
        return found;
    }

    asio::io_context io;
    FakeStore store;
    fakes::FakePorts ports;
    fakes::FakeFastPath fast_path;
    CallStore call_store{&store};
    Owners owners{&call_store};
    session::OwnerId owner = owners.id_of("disp");
    session::SessionTable table{rules(), ports, fast_path, 1};
    CallSaver saver{io, call_store, table, owners, Seconds{1}};
};

} // namespace

TEST_CASE("a walk over all calls takes one interval, however many turns it has")
{
    CHECK(CallSaver::turns_of_walk(0) == 1);
    CHECK(CallSaver::turns_of_walk(200) == 1);
    CHECK(CallSaver::turns_of_walk(201) == 2);
    CHECK(CallSaver::turns_of_walk(400) == 2);
    CHECK(CallSaver::turns_of_walk(4000) == 20);
}

TEST_CASE("every call's traffic is saved, many in a piece")
{
    House house;
    house.call_until(250);
    house.hear(1);
    house.hear(250);
    house.hear(250);
    REQUIRE(house.await([&] { return house.traffic().size() == 2; }));
    CHECK(house.traffic().at("0").starts_with("r1 1 "));
    const auto left = house.left();
    REQUIRE(left.size() == 250);
    CHECK(left.at("r1").streams.at(0).rtp_from_caller.packets == 1);
    CHECK(left.at("r2").streams.at(0).rtp_from_caller.packets == 0);
    CHECK(left.at("r250").streams.at(0).rtp_from_caller.packets == 2);
}

TEST_CASE("when many calls change at once, some are saved whole in each walk; all counters count")
{
    House house;
    house.call_until(120);
    REQUIRE(house.await([&] { return house.calls().size() == 120; }));
    house.await_walk();
    house.calls().clear();
    for (int number = 1; number <= 120; ++number)
        house.hear(number);
    for (const std::size_t saved : {50U, 100U, 120U}) {
        house.await_walk();
        CHECK(house.calls().size() == saved);
        CHECK(house.traffic().at("0").find("\nr120 1 ") != std::string::npos);
    }
}

TEST_CASE("what has not changed is not written again")
{
    House house;
    house.call(1);
    house.hear(1);
    REQUIRE(house.await([&] { return !house.traffic().empty(); }));
    house.traffic().clear();
    house.calls().clear();
    house.await_walk();
    CHECK(house.traffic().empty());
    CHECK(house.calls().empty());
    INFO("one more packet is a matter of the counters alone");
    house.hear(1);
    house.await_walk();
    CHECK(house.traffic().at("0").starts_with("r1 2 "));
    CHECK(house.calls().empty());
}

TEST_CASE("a removed call keeps its last counters until its record is safe")
{
    House house;
    house.call(1);
    house.call(2);
    house.hear(1);
    REQUIRE(house.await([&] { return !house.traffic().empty(); }));
    for (int i = 0; i < 9; ++i)
        house.hear(1);
    house.await_walk();
    house.hear(1);
    const auto report = house.remove(1);
    CHECK(report.streams.at(0).rtp_from_caller.packets == 11);
    INFO("its place in the stretch is empty now, nobody has acknowledged it");
    house.hear(2);
    house.await_walk();
    CHECK_FALSE(house.traffic().at("0").starts_with("r1 "));
    auto left = house.left();
    REQUIRE(left.contains("r1"));
    CHECK(left.at("r1").lost);
    CHECK(left.at("r1").streams.at(0).rtp_from_caller.packets == 11);

    SECTION("acknowledged: nothing is kept")
    {
        house.owners.forget_call("r1");
    }
    SECTION("a letter takes the place of the copy")
    {
        house.call_store.save_letter("r1", "disp", protocol::to_json(report));
    }
    house.hear(2);
    house.await_walk();
    CHECK_FALSE(house.traffic().contains("ended"));
}

TEST_CASE("the saved calls follow their owner's heir")
{
    House house;
    house.call(1);
    REQUIRE(house.await([&] { return !house.calls().empty(); }));
    CHECK(decode_saved_call(house.calls().at("r1"))->owner == "disp");
    house.owners.bequeath(house.owner, house.owners.id_of("heir"));
    house.await_walk();
    CHECK(decode_saved_call(house.calls().at("r1"))->owner == "heir");
    house.owners.revoke(house.owner);
    house.await_walk();
    CHECK(decode_saved_call(house.calls().at("r1"))->owner == "disp");
}

TEST_CASE("a call that ends before it is saved leaves nothing")
{
    House house;
    house.call(1);
    house.remove(1);
    house.call(2);
    house.await_walk();
    CHECK(house.calls().size() == 1);
    CHECK(house.traffic().size() == 1);
}
