// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "stage.hpp"

using namespace mediaproxy;

TEST_CASE("a call that comes and goes at once costs the store nothing")
{
    Stage stage;
    FakePeer relay("here");
    stage.dispatcher->attach(relay);
    Client client = stage.proxy();
    client.send(Message{}.text() + Message{.type = "reply", .to_tag = "ttag"}.text() +
                remove_text());
    CHECK(client.line() != "error");
    CHECK(client.line() != "error");
    CHECK(client.line() == "removed");
    stage.stop();
    CHECK(stage.store.saves == 0);
}

TEST_CASE("a restarted dispatcher still knows its calls")
{
    Stage stage;
    FakePeer relay("r");
    stage.dispatcher->attach(relay);
    stage.ask(Message{.call_id = "stays"}.text());
    stage.ask(Message{.type = "reply", .call_id = "stays", .to_tag = "ttag"}.text());
    stage.ask(Message{.call_id = "lost"}.text());
    stage.ask(Message{.type = "reply", .call_id = "lost", .to_tag = "ttag"}.text());
    stage.ask(Message{.call_id = "unanswered"}.text());
    REQUIRE(stage.run_until([&] { return stage.store.tables["sessions"].size() == 3; }));
    stage.restart();
    CHECK(stage.dispatcher->session_count() == 3);

    SECTION("those that the relay still has go on")
    {
        relay.listed = {FakePeer::report("stays", "ftag")};
        stage.dispatcher->attach(relay);
        CHECK(stage.dispatcher->session_count() == 1);
        CHECK(stage.ask(Message{.call_id = "stays", .cseq = "2"}.text()) != "error");
        CHECK(stage.ask(remove_text("stays")) == "removed");
        // The lost one was answered: its record is made of what is known.
        REQUIRE(stage.sink.records.size() == 2);
        CHECK(stage.sink.records[0].call_id == "lost");
        CHECK(stage.sink.records[0].lost);
        CHECK(stage.sink.records[0].dialog_id == "1a2b:3c4d");
        CHECK(stage.sink.records[1].call_id == "stays");
        CHECK_FALSE(stage.sink.records[1].lost);
        CHECK(stage.ask(remove_text("lost")) == "removed");
        CHECK(relay.removes == std::vector<std::string>{"stays"});
    }
    SECTION("while their relay is away an update is an error, a removal is kept")
    {
        CHECK(stage.ask(Message{.call_id = "stays", .cseq = "2"}.text()) == "error");
        CHECK(stage.ask(remove_text("stays")) == "removed");
        CHECK(stage.dispatcher->session_count() == 2);
        stage.restart();
        relay.listed = {FakePeer::report("stays", "ftag"), FakePeer::report("lost", "ftag"),
                        FakePeer::report("unanswered", "ftag")};
        stage.dispatcher->attach(relay);
        CHECK(relay.removes == std::vector<std::string>{"stays"});
        REQUIRE(stage.sink.records.size() == 1);
        CHECK(stage.sink.records[0].timed_out == false);
        CHECK(stage.sink.records[0].dialog_id == "1a2b:3c4d");
        CHECK(stage.dispatcher->session_count() == 2);
        CHECK(stage.store.tables["removals"].empty());
    }
    SECTION("a record that comes before the kept removal was not a timeout")
    {
        CHECK(stage.ask(remove_text("stays")) == "removed");
        relay.hold_removes = true;
        relay.listed = {FakePeer::report("lost", "ftag"), FakePeer::report("unanswered", "ftag")};
        stage.dispatcher->attach(relay);
        stage.dispatcher->on_expired(relay, FakePeer::report("stays", "ftag"));
        REQUIRE(relay.held_removes.size() == 1);
        relay.held_removes[0](invalid("the relay answered error"));
        REQUIRE(stage.sink.records.size() == 1);
        CHECK(stage.sink.records[0].timed_out == false);
    }
    SECTION("a kept removal that the relay knows nothing of is a lost record")
    {
        CHECK(stage.ask(remove_text("stays")) == "removed");
        relay.remove_error = invalid("the relay answered error");
        relay.listed = {FakePeer::report("lost", "ftag"), FakePeer::report("unanswered", "ftag")};
        stage.dispatcher->attach(relay);
        REQUIRE(stage.sink.records.size() == 1);
        CHECK(stage.sink.records[0].lost);
        CHECK(stage.sink.records[0].timed_out == false);
        CHECK(stage.store.tables["removals"].empty());
    }
}

TEST_CASE("a dispatcher without state takes its own sessions back from its relays")
{
    Stage stage;
    FakePeer relay("r");
    protocol::SessionReport own = FakePeer::report("own", "ftag");
    own.owner = "dispatcher-1";
    protocol::SessionReport foreign = FakePeer::report("foreign", "ftag");
    foreign.owner = "dispatcher-2";
    relay.listed = {own, foreign};
    stage.dispatcher->attach(relay);
    CHECK(stage.dispatcher->session_count() == 1);
    CHECK(stage.ask(remove_text("own")) == "removed");
    REQUIRE(stage.sink.records.size() == 1);
    CHECK(stage.sink.records[0].call_id == "own");
    // The other one is a hint only: the next message about it goes there.
    FakePeer other("q");
    stage.dispatcher->attach(other);
    for (int i = 0; i < 2; ++i)
        CHECK(stage.ask(Message{.call_id = "foreign",
                                .cseq = std::to_string(5 + i),
                                .from_tag = "ttag",
                                .to_tag = "ftag"}
                            .text()) != "error");
    CHECK(relay.updates == std::vector<std::string>{"foreign", "foreign"});
    CHECK(other.updates.empty());
    CHECK(stage.ask(remove_text("foreign", "ttag", "ftag")) == "removed");
    CHECK(relay.removes == std::vector<std::string>{"own", "foreign"});
}

TEST_CASE("expired sessions are known after a restart, too")
{
    Stage stage;
    FakePeer relay("r");
    stage.dispatcher->attach(relay);
    stage.ask(Message{}.text());
    stage.ask(Message{.type = "reply", .to_tag = "ttag"}.text());
    stage.dispatcher->on_expired(relay, FakePeer::report("call-1", "ftag"));
    stage.restart();
    CHECK(stage.dispatcher->session_count() == 0);
    stage.dispatcher->attach(relay);
    CHECK(stage.sink.records.size() == 1);
    CHECK(stage.ask(remove_text()) == "removed");
    CHECK(relay.removes.empty());
    stage.stop();
    CHECK(stage.store.tables["sessions"].empty());
}

TEST_CASE("damaged state is passed over, and gone")
{
    Stage stage;
    stage.stop();
    stage.store.tables["sessions"]["x"] = "no session";
    stage.store.tables["removals"]["y"] = "";
    stage.store.tables["records"]["z"] = "no time";
    stage.start();
    CHECK(stage.dispatcher->session_count() == 0);
    for (const char* const table : {"sessions", "removals"})
        CHECK(stage.store.tables[table].empty());
}

TEST_CASE("what nobody asks for any more is given up in time")
{
    auto options = Stage::quick();
    options.cleanup_dead_relays_after = Seconds{2};
    options.cleanup_expired_sessions_after = Seconds{1};
    Stage stage(options);
    {
        FakePeer relay("r");
        stage.dispatcher->attach(relay);
        for (const char* const call : {"expired", "away", "removed"}) {
            stage.ask(Message{.call_id = call}.text());
            stage.ask(Message{.type = "reply", .call_id = call, .to_tag = "ttag"}.text());
        }
        stage.dispatcher->on_expired(relay, FakePeer::report("expired", "ftag"));
        stage.restart();
    }
    CHECK(stage.ask(remove_text("removed")) == "removed");
    CHECK(stage.store.tables["sessions"].size() == 2);
    CHECK(stage.store.tables["removals"].size() == 1);
    // Each answered session has its one record, also when its relay never comes back.
    REQUIRE(stage.run_until([&] { return stage.sink.records.size() == 3; }));
    CHECK(stage.run_until([&] {
        return stage.store.tables["sessions"].empty() && stage.store.tables["removals"].empty();
    }));
    CHECK(stage.dispatcher->session_count() == 0);
    for (const protocol::SessionReport& record : stage.sink.records) {
        CHECK(record.lost == (record.call_id != "expired"));
        CHECK(record.timed_out == (record.call_id != "removed"));
        if (record.lost) // it was over when the proxy said so, or the relay went away
            CHECK(record.duration <= 1);
    }
}
