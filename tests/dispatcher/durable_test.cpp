// SPDX-License-Identifier: GPL-2.0-or-later
// `removed` is said when the record of the call is in the spool.
#include <catch2/catch.hpp>

#include "dispatcher/json_text.hpp"
#include "stage.hpp"

using namespace mediaproxy;

namespace
{

/// Deadlines that no test reaches, and a spool that takes its time.
struct SlowSpool {
    SlowSpool() : stage(patient())
    {
        stage.sink.at_once = false;
        stage.dispatcher->attach(relay);
    }
    static dispatcher::Options patient()
    {
        auto options = Stage::quick();
        options.request_deadline = Milliseconds{60000};
        return options;
    }
    /// A call that the proxy has just removed; its record is on its way.
    Client removed_call(const std::string& call_id = "call-1")
    {
        Message message;
        message.call_id = call_id;
        Client proxy = stage.proxy();
        CHECK(proxy.send(message.text()).line().starts_with("192.0.2.1"));
        const std::size_t before = stage.sink.records.size();
        proxy.send(remove_text(call_id));
        REQUIRE(stage.run_until([&] { return stage.sink.records.size() > before; }));
        return proxy;
    }
    void spool()
    {
        for (const auto& durable : std::exchange(stage.sink.waiting, {}))
            durable();
    }

    FakePeer relay{"r"};
    Stage stage;
};

protocol::SessionReport expired_report()
{
    auto report = FakePeer::report("call-1", "ftag");
    report.streams.front().status = "no-traffic timeout";
    return report;
}

accounting::BackEndFigures figures_of(std::string name)
{
    accounting::BackEndFigures one;
    one.name = std::move(name);
    return one;
}

} // namespace

TEST_CASE("a remove is answered when its record is durable, not before")
{
    SlowSpool f;
    Client proxy = f.removed_call();
    proxy.poll();
    CHECK(proxy.received().empty());
    f.spool();
    CHECK(proxy.line() == "removed");
    CHECK(f.stage.sink.records.size() == 1);
}

TEST_CASE("a remove is answered after 200 ms although its record is not durable, and once")
{
    SlowSpool f;
    const auto begin = std::chrono::steady_clock::now();
    Client proxy = f.removed_call();
    CHECK(proxy.line() == "removed");
    const auto took = std::chrono::steady_clock::now() - begin;
    CHECK(took >= Milliseconds{200});
    CHECK(took < Milliseconds{5000});
    f.spool(); // too late to be told
    Message again;
    again.call_id = "call-2";
    CHECK(proxy.send(again.text()).line().starts_with("192.0.2.1"));
}

TEST_CASE("each connection gets the answer to its own remove")
{
    SlowSpool f;
    Client first = f.removed_call("call-1");
    Client second = f.removed_call("call-2");
    REQUIRE(f.stage.sink.waiting.size() == 2);
    f.stage.sink.waiting[1]();
    CHECK(second.line() == "removed");
    first.poll();
    CHECK(first.received().empty());
    f.stage.sink.waiting[0]();
    CHECK(first.line() == "removed");
    f.stage.sink.waiting.clear();
}

TEST_CASE("while the spool is known to be late nobody waits for it")
{
    SlowSpool f;
    f.stage.sink.state.alarm = "the disk is too slow";
    const auto begin = std::chrono::steady_clock::now();
    Client proxy = f.removed_call();
    CHECK(proxy.line() == "removed");
    CHECK(f.stage.sink.waiting.empty());
    CHECK(std::chrono::steady_clock::now() - begin < Milliseconds{5000});
}

TEST_CASE("a remove without a record does not wait for the records of others")
{
    SlowSpool f;
    Client first = f.removed_call();
    CHECK(f.stage.ask(remove_text("unknown")) == "removed");
    CHECK(f.stage.sink.waiting.size() == 1);
    f.spool();
    CHECK(first.line() == "removed");
}

TEST_CASE("a stop answers those who wait for the spool")
{
    SlowSpool f;
    Client proxy = f.removed_call();
    f.stage.stop();
    CHECK(proxy.line() == "removed");
    f.stage.sink.waiting.clear();
}

TEST_CASE("equal reports of a relay that gives no record ids make one record")
{
    Stage stage;
    FakePeer relay("r");
    relay.ours = false;
    stage.dispatcher->attach(relay);
    stage.ask(Message{}.text());
    SECTION("the same twice")
    {
        stage.dispatcher->on_expired(relay, expired_report());
        stage.dispatcher->on_expired(relay, expired_report());
        CHECK(stage.ask(remove_text()) == "removed");
    }
    SECTION("while the answer to a remove is on its way")
    {
        relay.hold_removes = true;
        Client proxy = stage.proxy();
        proxy.send(remove_text());
        REQUIRE(stage.run_until([&] { return relay.held_removes.size() == 1; }));
        stage.dispatcher->on_expired(relay, expired_report());
        relay.held_removes[0](FakePeer::report("call-1", "ftag"));
        CHECK(proxy.line() == "removed");
    }
    SECTION("after it")
    {
        CHECK(stage.ask(remove_text()) == "removed");
        stage.dispatcher->on_expired(relay, expired_report());
    }
    CHECK(stage.sink.records.size() == 1);
}

TEST_CASE("a record for which there was no room is taken when it comes again")
{
    Stage stage;
    FakePeer relay("r");
    relay.ours = false;
    stage.dispatcher->attach(relay);
    stage.sink.is_full = true;
    stage.dispatcher->on_expired(relay, expired_report());
    stage.sink.is_full = false;
    stage.dispatcher->on_expired(relay, expired_report());
    CHECK(stage.sink.records.size() == 1);
}

TEST_CASE("the record id of such a report is the same after a restart, another call's is not")
{
    Stage stage;
    FakePeer relay("r");
    relay.ours = false;
    auto later = expired_report();
    later.start_time = 2000.5; // the same tags, used again
    for (int run = 0; run < 2; ++run) {
        stage.dispatcher->attach(relay);
        stage.dispatcher->on_expired(relay, expired_report());
        stage.dispatcher->on_expired(relay, later);
        stage.restart();
    }
    REQUIRE(stage.sink.records.size() == 4);
    CHECK(stage.sink.records[0].record_id == stage.sink.records[2].record_id);
    CHECK(stage.sink.records[1].record_id == stage.sink.records[3].record_id);
    CHECK(stage.sink.records[0].record_id != stage.sink.records[1].record_id);
}

TEST_CASE("management: what waits for each back end")
{
    Stage stage;
    FakePeer relay("r");
    stage.dispatcher->attach(relay);
    const std::string plain = "{\"ip\": \"r\", \"status\": \"active\"}\r\n\r\n";
    CHECK(stage.management().send("summary\r\n").until("\r\n\r\n") == plain);
    CHECK(stage.management().send("accounting\r\n").until("\r\n\r\n") ==
          "{\"name\": \"spool\", \"in_memory\": 0, \"alarm\": null}\r\n\r\n");

    using State = accounting::BackEndFigures::State;
    stage.sink.state.in_memory = 2;
    stage.sink.state.alarm = "the disk is \"full\"";
    stage.sink.state.back_ends = {figures_of("accounting.a"), figures_of("accounting.b")};
    accounting::BackEndFigures& failing = stage.sink.state.back_ends[1];
    failing.state = State::failing;
    failing.waiting = 12;
    failing.oldest_age = Seconds{34};
    failing.parked = 1;
    failing.last_error = "no route";
    CHECK(stage.management().send("accounting\r\n").until("\r\n\r\n") ==
          "{\"name\": \"spool\", \"in_memory\": 2, \"alarm\": \"the disk is \\\"full\\\"\"}\r\n"
          "{\"name\": \"accounting.a\", \"state\": \"active\", \"waiting\": 0, "
          "\"oldest_age\": null, \"parked\": 0, \"last_error\": null}\r\n"
          "{\"name\": \"accounting.b\", \"state\": \"failing\", \"waiting\": 12, "
          "\"oldest_age\": 34, \"parked\": 1, \"last_error\": \"no route\"}\r\n\r\n");
    CHECK(stage.management().send("summary\r\n").until("\r\n\r\n") ==
          "{\"ip\": \"r\", \"status\": \"active\", \"accounting\": {\"in_memory\": 2, "
          "\"alarm\": \"the disk is \\\"full\\\"\", \"back_ends\": {"
          "\"accounting.a\": {\"waiting\": 0, \"oldest_age\": null, \"parked\": 0}, "
          "\"accounting.b\": {\"waiting\": 12, \"oldest_age\": 34, \"parked\": 1}}}}\r\n\r\n");
    CHECK(stage.dispatcher->status() ==
          "1 relays, 0 sessions; 2 records in memory only: the disk is \"full\""
          "; 12 records wait for accounting.b");
}

TEST_CASE("a member is put behind those of an object, and into nothing else")
{
    const auto with = [](std::string text) {
        dispatcher::json::add_member(text, "n", "1");
        return text;
    };
    CHECK(with("{\"a\": {}}") == "{\"a\": {}, \"n\": 1}");
    CHECK(with("{}") == "{\"n\": 1}");
    CHECK(with(" { } \r") == " { \"n\": 1}");
    CHECK(with("[1]") == "[1]");
    CHECK(with("error") == "error");
    CHECK(with("{\"a\": 1}}") == "{\"a\": 1}}");
    CHECK(with("") == "");
}
