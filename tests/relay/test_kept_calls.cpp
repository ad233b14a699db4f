// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "call.hpp"
#include "fakes/state_store.hpp"
#include "relay/relay.hpp"
#include "scripted_dispatcher.hpp"

// What a relay that was killed still tells of the calls that it had.

using namespace mediaproxy;
using namespace mediaproxy::relay;
using test::Phone;

namespace
{

struct House {
    House() { start(); }

    void start()
    {
        Options options;
        options.name = "r1";
        options.relay_ip = {test::own_loopback()};
        options.routable_private_ranges = {*net::parse_network("127.0.0.0/8")};
        options.dispatchers = {{"127.0.0.1", dispatcher.endpoint().port}};
        options.save_interval = save_interval;
        options.reconnect_delay = Seconds{1};
        options.stream_timeout = stream_timeout;
        Relay::Environment environment{.io = io};
        environment.record_id_prefix = "run" + std::to_string(++runs) + "-";
        environment.store = &store;
        auto created = Relay::create(std::move(options), std::move(environment));
        if (!created)
            FAIL(created.error().message);
        relay = *std::move(created);
        const int before = dispatcher.connections;
        relay->start();
        REQUIRE(test::run_until(
            io, [&] { return dispatcher.connections > before && dispatcher.has_peer(); }));
    }
    /// As kill -9: no session is ended, nobody is told, nothing more is saved.
    void kill()
    {
        relay.reset();
        REQUIRE(test::run_until(io, [&] { return !dispatcher.has_peer(); }));
    }
    void say_hello(std::string_view features = "keep-removed")
    {
        dispatcher.say("hello 0\r\nname: disp\r\nfeatures: " + std::string(features) + "\r\n\r\n");
        REQUIRE(dispatcher.wait_line("0 "));
    }
    std::string ask(int seq, std::string_view command, const std::string& headers = "")
    {
        dispatcher.say(std::string(command) + " " + std::to_string(seq) + "\r\n" + headers +
                       "\r\n");
        return dispatcher.wait_line(std::to_string(seq) + " ").value_or("nothing");
    }
    std::string headers(const std::string& type, const std::string& to_tag, const Phone& phone)
    {
        return "type: " + type + "\r\ncall_id: c1\r\ncseq: 1\r\nfrom_uri: a@x\r\nto_uri: b@x\r\n" +
               "from_tag: f\r\n" + (to_tag.empty() ? "" : "to_tag: " + to_tag + "\r\n") +
               "media: audio:" + phone.endpoint().to_record() + ":sendrecv\r\n";
    }
    /// An answered call of the dispatcher; the caller's side of it.
    net::Endpoint set_up()
    {
        REQUIRE(ask(1, "update", headers("request", "", caller)) != "1 error");
        const std::string answer = ask(2, "update", headers("reply", "t", callee));
        const std::size_t blank = answer.rfind(' ');
        return {test::own_loopback(), static_cast<net::Port>(std::stoi(answer.substr(blank + 1)))};
    }
    std::string remove(int seq) { return ask(seq, "remove", "call_id: c1\r\nfrom_tag: f\r\n"); }
    bool wait_saved(std::size_t count)
    {
        return test::run_until(io, [&] { return store.tables["relay-calls"].size() == count; });
    }
    std::optional<protocol::SessionReport> told()
    {
        const auto line = dispatcher.wait_line("expired ");
        if (!line)
            return std::nullopt;
        return *protocol::parse_report(std::string_view(*line).substr(8));
    }

    asio::io_context io;
    test::ScriptedDispatcher dispatcher{io};
    FakeStore store;
    Seconds save_interval{1}, stream_timeout{90};
    int runs = 0;
    std::unique_ptr<Relay> relay;
    Phone caller{io, test::own_loopback(2)}, callee{io, test::own_loopback(3)};
};

} // namespace

TEST_CASE("a killed relay reports the calls that it had, with their last counters")
{
    House house;
    house.say_hello();
    const net::Endpoint to_relay = house.set_up();
    REQUIRE(house.wait_saved(1));
    house.caller.send(to_relay, test::rtp());
    house.caller.send(to_relay, test::rtp());
    REQUIRE(test::run_until(house.io, [&] {
        const auto& traffic = house.store.tables["relay-traffic"];
        return traffic.contains("0") && traffic.at("0").starts_with("run1-1 2 ");
    }));
    house.kill();
    house.start();
    CHECK(house.store.tables["relay-calls"].size() == 1);
    house.say_hello();
    const auto report = house.told();
    REQUIRE(report);
    CHECK(report->lost);
    CHECK(report->start_time);
    CHECK_FALSE(report->timed_out);
    CHECK(report->record_id.starts_with("run1-"));
    REQUIRE(report->streams.size() == 1);
    CHECK(report->streams[0].rtp_from_caller.packets == 2);
    INFO("again and again, until it is acknowledged");
    house.kill();
    house.start();
    house.say_hello();
    REQUIRE(house.told());
    CHECK(house.ask(3, "acknowledge", "record_id: " + report->record_id + "\r\n") ==
          "3 acknowledged");
    CHECK(house.store.tables["relay-calls"].empty());
}

TEST_CASE("a call that was answered only just before the kill is reported, too")
{
    House house;
    house.save_interval = Seconds{3600};
    house.kill();
    house.start();
    house.say_hello();
    house.set_up();
    REQUIRE(house.wait_saved(1));
    house.kill();
    house.start();
    house.say_hello();
    CHECK(house.told());
}

TEST_CASE("a call that nobody answered is no loss")
{
    House house;
    house.say_hello();
    REQUIRE(house.ask(1, "update", house.headers("request", "", house.caller)) != "1 error");
    house.kill();
    house.start();
    house.say_hello();
    CHECK(house.ask(1, "letters") == "1 0");
    CHECK(house.store.tables["relay-calls"].empty());
}

TEST_CASE("a kill between a removal and its acknowledgement loses nothing")
{
    House house;
    house.say_hello();
    house.set_up();
    REQUIRE(house.wait_saved(1));
    REQUIRE(house.remove(3).starts_with("3 {"));

    SECTION("at once: the copy of the running call is still there")
    {
        house.kill();
        house.start();
        house.say_hello();
        const auto report = house.told();
        REQUIRE(report);
        CHECK(report->lost);
    }
    SECTION("a little later: the report itself is there")
    {
        REQUIRE(test::run_until(house.io, [&] {
            const auto& value = house.store.tables["relay-calls"].begin()->second;
            return value.find("\"timed_out\": false") != std::string::npos;
        }));
        house.kill();
        house.start();
        house.say_hello();
        const auto report = house.told();
        REQUIRE(report);
        CHECK_FALSE(report->lost);
        CHECK(report->timed_out == false);
    }
    SECTION("acknowledged: nothing is left")
    {
        house.ask(4, "acknowledge", "record_id: run1-1\r\n");
        house.kill();
        house.start();
        house.say_hello();
        CHECK(house.ask(1, "letters") == "1 0");
        CHECK(house.store.tables["relay-calls"].empty());
    }
}

TEST_CASE("a call that comes and goes at once costs the relay's disk nothing")
{
    House house;
    house.say_hello();
    house.store.saves = 0; // of the start
    house.set_up();
    house.dispatcher.say("remove 3\r\ncall_id: c1\r\nfrom_tag: f\r\n\r\n"
                         "acknowledge 4\r\nrecord_id: run1-1\r\n\r\n");
    REQUIRE(house.dispatcher.wait_line("4 "));
    house.io.run_for(Milliseconds{100});
    CHECK(house.store.saves == 0);
}

TEST_CASE("MediaProxy 4 is told of the calls of a killed relay once, and before its list")
{
    House house;
    REQUIRE(house.ask(0, "sessions") == "0 []");
    house.set_up();
    REQUIRE(house.wait_saved(1));
    house.kill();
    house.start();
    CHECK(house.ask(0, "sessions") == "0 []");
    const auto report = house.told();
    REQUIRE(report);
    CHECK(report->lost);
    CHECK(report->all_streams_ice == false);
    INFO("kept until it has arrived");
    CHECK(house.wait_saved(0));

    INFO("what it removes is its own affair");
    house.set_up();
    REQUIRE(house.wait_saved(1));
    REQUIRE(house.remove(3).starts_with("3 {"));
    CHECK(house.store.tables["relay-calls"].empty());
}

TEST_CASE("a session that ended while no dispatcher was there outlives the relay")
{
    House house;
    house.stream_timeout = Seconds{1};
    house.kill();
    house.start();
    house.say_hello();
    house.set_up();
    house.dispatcher.leave();
    REQUIRE(test::run_until(house.io, [&] { return house.relay->session_count() == 0; }));
    house.kill();
    house.dispatcher.come_back();
    house.start();
    house.say_hello();
    const auto report = house.told();
    REQUIRE(report);
    CHECK_FALSE(report->lost);
    CHECK(report->streams.at(0).status == "no-traffic timeout");
}

TEST_CASE("the reports of an orderly stop are kept when nobody takes them")
{
    House house;
    house.say_hello();
    house.set_up();
    house.dispatcher.leave();
    bool stopped = false;
    house.relay->stop([&] { stopped = true; });
    REQUIRE(test::run_until(house.io, [&] { return stopped; }));
    house.kill();
    house.dispatcher.come_back();
    house.start();
    house.say_hello();
    const auto report = house.told();
    REQUIRE(report);
    CHECK_FALSE(report->lost);
}

TEST_CASE("a dispatcher in the same process hears of the earlier run before anything else")
{
    FakeStore store;
    asio::io_context io;
    Options options;
    options.name = "here";
    options.relay_ip = {test::own_loopback()};
    options.routable_private_ranges = {*net::parse_network("127.0.0.0/8")};
    std::vector<protocol::SessionReport> expired;
    session::OwnerId owner = 0;
    std::unique_ptr<Relay> relay;
    const auto start = [&](const std::string& prefix) {
        Relay::Environment environment{.io = io};
        environment.record_id_prefix = prefix;
        environment.store = &store;
        relay.reset();
        relay = *Relay::create(options, std::move(environment));
        owner = relay->add_local_owner(
            "local", [&](const protocol::SessionReport& report) { expired.push_back(report); });
        relay->tell_local_owner(owner);
    };
    const auto set_up = [&](const std::string& call_id) {
        const test::CallUpdates call{
            call_id, {test::own_loopback(2), 6000}, {test::own_loopback(3), 6002}, {}};
        REQUIRE(relay->update(call.offer(), owner));
        REQUIRE(relay->update(call.answer(), owner));
        return call;
    };
    start("run1-");
    const auto removed = set_up("removed");
    set_up("lost");
    REQUIRE(test::run_until(io, [&] { return store.tables["relay-calls"].size() == 2; }));

    SECTION("a removed call whose record was not durable is among them")
    {
        REQUIRE(relay->remove(removed.bye()));
        start("run2-");
        CHECK(expired.size() == 2);
    }
    SECTION("one whose record is durable is not")
    {
        const auto report = relay->remove(removed.bye());
        REQUIRE(report);
        relay->acknowledge(owner, {report->record_id});
        start("run2-");
        REQUIRE(expired.size() == 1);
        CHECK(expired[0].call_id == "lost");
        CHECK(expired[0].lost);
        relay->acknowledge(owner, {expired[0].record_id});
        CHECK(store.tables["relay-calls"].empty());
    }
}
