// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "stage.hpp"

using namespace mediaproxy;

namespace
{

struct TwoRelays : Stage {
    explicit TwoRelays(dispatcher::Options wanted = quick()) : Stage(std::move(wanted))
    {
        b.answer_address = net::Address::v4({192, 0, 2, 2});
        b.next_port = 50000;
        dispatcher->attach(a);
        dispatcher->attach(b);
    }
    FakePeer a{"a"}, b{"b"};
};

const Error refused = invalid("the relay answered error");
const Error halting{Error::Code::denied, "halting"};
const Error away{Error::Code::unavailable, "gone"};

} // namespace

TEST_CASE("the preferred relay comes first, then the next one")
{
    TwoRelays stage;
    for (int i = 0; i < 4; ++i) {
        const Message message{.call_id = "call-" + std::to_string(i), .media_relay = "b"};
        CHECK(stage.ask(message.text()).starts_with("192.0.2.2 "));
    }
    CHECK(stage.a.updates.empty());
    SECTION("error")
    {
        stage.b.update_error = refused;
    }
    SECTION("halting")
    {
        stage.b.update_error = halting;
    }
    SECTION("disconnected meanwhile")
    {
        stage.b.update_error = away;
    }
    SECTION("not active")
    {
        stage.b.state_ = dispatcher::RelayPeer::State::unresponsive;
    }
    SECTION("an answer of another family")
    {
        stage.b.answer_address = net::Address::v6({0x20, 1});
    }
    const Message message{.call_id = "next", .media_relay = "b"};
    CHECK(stage.ask(message.text()).starts_with("192.0.2.1 "));
    CHECK(stage.dispatcher->session_count() == 5);
}

TEST_CASE("round robin takes turns, least-sessions looks at the load")
{
    SECTION("round robin")
    {
        TwoRelays stage;
        for (int i = 0; i < 10; ++i)
            stage.ask(Message{.call_id = std::to_string(i)}.text());
        CHECK(stage.a.updates.size() == 5);
        CHECK(stage.b.updates.size() == 5);
    }
    SECTION("least sessions")
    {
        auto options = Stage::quick();
        options.balancing = "least-sessions";
        TwoRelays stage(options);
        stage.a.load = 3;
        for (int i = 0; i < 5; ++i)
            stage.ask(Message{.call_id = std::to_string(i)}.text());
        CHECK(stage.b.updates.size() >= 4);
        CHECK(stage.a.updates.size() <= 1);
    }
}

TEST_CASE("a silent relay costs a new session the attempt's time, not the deadline")
{
    TwoRelays stage;
    stage.a.hold_updates = true;
    const auto begin = std::chrono::steady_clock::now();
    CHECK(stage.ask(Message{.media_relay = "a"}.text()) == "192.0.2.2 50002");
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(150));

    // The session is at b: its late twin at a is removed there at once.
    REQUIRE(stage.a.held.size() == 1);
    stage.a.held[0](protocol::Ports{stage.a.answer_address, {40000}});
    CHECK(stage.a.removes == std::vector<std::string>{"call-1"});
    CHECK(stage.sink.records.empty());
    CHECK(stage.dispatcher->session_count() == 1);
    CHECK(stage.ask(Message{.type = "reply", .to_tag = "ttag"}.text()) == "192.0.2.2 50004");
}

TEST_CASE("all relays fail: error, and the reply of that request is left alone")
{
    TwoRelays stage;
    stage.a.update_error = refused;
    stage.b.update_error = refused;
    CHECK(stage.ask(Message{}.text()) == "error");
    CHECK(stage.a.updates.size() == 1);
    CHECK(stage.b.updates.size() == 1);
    stage.a.update_error.reset();
    stage.b.update_error.reset();
    CHECK(stage.ask(Message{.type = "reply", .to_tag = "t"}.text()) == "error");
    CHECK(stage.a.updates.size() + stage.b.updates.size() == 2);
    CHECK(stage.dispatcher->session_count() == 0);

    SECTION("a later request of the dialog is a new matter")
    {
        CHECK(stage.ask(Message{.cseq = "2"}.text()) != "error");
        CHECK(stage.ask(Message{.type = "reply", .cseq = "2", .to_tag = "t"}.text()) != "error");
    }
    SECTION("the same request again, and accepted, makes the reply welcome")
    {
        CHECK(stage.ask(Message{}.text()) != "error");
        CHECK(stage.ask(Message{.type = "reply", .to_tag = "t"}.text()) != "error");
    }
    SECTION("a reply whose request nobody saw is served")
    {
        const Message reply{.type = "reply", .call_id = "other", .to_tag = "t"};
        CHECK(stage.ask(reply.text()) != "error");
    }
}

TEST_CASE("a late twin of a call whose request came again is removed unless it became the call")
{
    TwoRelays stage;
    stage.a.hold_updates = stage.b.hold_updates = true;
    CHECK(stage.ask(Message{.media_relay = "a"}.text()) == "error"); // nobody in time
    REQUIRE(stage.a.held.size() == 1);
    REQUIRE(stage.b.held.size() == 1);
    stage.b.held.clear();
    Client client = stage.proxy();
    client.send(Message{.media_relay = "b"}.text()); // the retransmission
    REQUIRE(stage.run_until([&] { return stage.b.held.size() == 1; }));
    stage.a.held[0](protocol::Ports{stage.a.answer_address, {40000}});
    CHECK(stage.a.removes.empty()); // it may be asked next
    SECTION("another relay has the call")
    {
        stage.b.held[0](protocol::Ports{stage.b.answer_address, {50000}});
        CHECK(client.line() == "192.0.2.2 50000");
        CHECK(stage.a.removes == std::vector<std::string>{"call-1"});
    }
    SECTION("the same relay has it")
    {
        stage.b.held[0](refused);
        REQUIRE(stage.run_until([&] { return stage.a.held.size() == 2; }));
        stage.a.held[1](protocol::Ports{stage.a.answer_address, {40000}});
        CHECK(client.line() == "192.0.2.1 40000");
        CHECK(stage.a.removes.empty());
    }
    CHECK(stage.dispatcher->session_count() == 1);
}

TEST_CASE("a retransmitted answer of a call that expired and was removed creates nothing")
{
    TwoRelays stage;
    stage.ask(Message{.media_relay = "a"}.text());
    stage.ask(Message{.type = "reply", .to_tag = "ttag"}.text());
    stage.dispatcher->on_expired(stage.a, FakePeer::report("call-1", "ftag"));
    CHECK(stage.ask(remove_text()) == "removed");
    CHECK(stage.ask(Message{.type = "reply", .to_tag = "ttag"}.text()) == "error");
    CHECK(stage.dispatcher->session_count() == 0);
}

TEST_CASE("a retransmitted answer of a removed call creates nothing")
{
    TwoRelays stage;
    stage.ask(Message{.cseq = "5"}.text());
    stage.ask(Message{.type = "reply", .cseq = "5", .to_tag = "ttag"}.text());
    CHECK(stage.ask(remove_text()) == "removed");
    CHECK(stage.ask(Message{.type = "reply", .cseq = "5", .to_tag = "ttag"}.text()) == "error");
    CHECK(stage.dispatcher->session_count() == 0);
    // A new call of the same identifiers may come.
    CHECK(stage.ask(Message{.cseq = "6"}.text()) != "error");
}

TEST_CASE("a known session stays with its relay")
{
    TwoRelays stage;
    stage.ask(Message{.media_relay = "a"}.text());
    SECTION("also when another relay is preferred now")
    {
        CHECK(stage.ask(Message{.cseq = "2", .media_relay = "b"}.text()).starts_with("192.0.2.1 "));
    }
    SECTION("also by the callee's tag")
    {
        const Message message{.from_tag = "ttag", .to_tag = "ftag"};
        CHECK(stage.ask(message.text()).starts_with("192.0.2.1 "));
        CHECK(stage.dispatcher->session_count() == 1);
    }
    SECTION("an error there is an error, and the session goes on")
    {
        stage.a.update_error = refused;
        CHECK(stage.ask(Message{.cseq = "2"}.text()) == "error");
        CHECK(stage.b.updates.empty());
        CHECK(stage.dispatcher->session_count() == 1);
    }
    SECTION("another session of the Call-ID goes there, too")
    {
        for (int i = 0; i < 4; ++i) {
            const Message other{.from_tag = "other-" + std::to_string(i), .media_relay = "b"};
            CHECK(stage.ask(other.text()).starts_with("192.0.2.1 "));
        }
        CHECK(stage.dispatcher->session_count() == 5);
    }
    SECTION("without media the ports are told as they are")
    {
        stage.a.most_ports = 0;
        CHECK(stage.ask(Message{.type = "reply", .to_tag = "ttag", .media = ""}.text()) ==
              "192.0.2.1");
    }
}

TEST_CASE("missing ports become 0, extra ones are passed on")
{
    TwoRelays stage;
    const std::string two = "audio:192.0.2.9:1000:sendrecv,video:192.0.2.9:2000:sendrecv";
    stage.a.most_ports = 1;
    CHECK(stage.ask(Message{.media = two, .media_relay = "a"}.text()) == "192.0.2.1 40002 0");
    stage.b.hold_updates = true;
    Client client = stage.proxy();
    client.send(Message{.call_id = "x", .media_relay = "b"}.text());
    REQUIRE(stage.run_until([&] { return stage.b.held.size() == 1; }));
    stage.b.held[0](protocol::Ports{stage.b.answer_address, {1, 2, 3}});
    CHECK(client.line() == "192.0.2.2 1 2 3");
}

TEST_CASE("IPv6 media goes to relays that serve it")
{
    TwoRelays stage;
    stage.b.serves_v6 = true;
    stage.b.answer_address = *net::Address::parse("2001:db8::5");
    const Message message{.media = "audio:2001:db8::a:20000:sendrecv", .media_relay = "a"};
    CHECK(stage.ask(message.text()) == "2001:db8::5 50002");
    CHECK(stage.a.updates.empty());
}

TEST_CASE("what comes while a session is being made")
{
    TwoRelays stage;
    stage.a.hold_updates = true;
    Client first = stage.proxy(), second = stage.proxy();
    first.send(Message{.media_relay = "a"}.text());
    REQUIRE(stage.run_until([&] { return stage.a.held.size() == 1; }));
    const auto succeed = [&] {
        stage.a.hold_updates = false;
        stage.a.held[0](protocol::Ports{stage.a.answer_address, {41000}});
    };
    SECTION("the same request again waits, and goes to the same relay")
    {
        second.send(Message{.media_relay = "b"}.text());
        stage.io.poll();
        CHECK(stage.b.updates.empty());
        succeed();
        CHECK(first.line() == "192.0.2.1 41000");
        CHECK(second.line() == "192.0.2.1 40002");
        CHECK(stage.b.updates.empty());
    }
    SECTION("its removal is answered, and ends it when it is there")
    {
        CHECK(second.send(remove_text("call-1", "ftag", "")).line() == "removed");
        CHECK(stage.a.removes.empty());
        succeed();
        CHECK(first.line() == "192.0.2.1 41000");
        CHECK(stage.a.removes == std::vector<std::string>{"call-1"});
        CHECK(stage.dispatcher->session_count() == 0);
    }
    SECTION("another call is not held up")
    {
        CHECK(second.send(Message{.call_id = "other", .media_relay = "b"}.text()).line() ==
              "192.0.2.2 50002");
        succeed();
        CHECK(first.line() == "192.0.2.1 41000");
    }
}

TEST_CASE("an expired session")
{
    TwoRelays stage;
    stage.ask(Message{.media_relay = "a"}.text());
    stage.ask(Message{.type = "reply", .to_tag = "ttag"}.text());
    protocol::SessionReport report = FakePeer::report("call-1", "ftag");
    report.record_id = "a-17";
    SECTION("is accounted as timed out, and its removal is answered without the relay")
    {
        stage.dispatcher->on_expired(stage.a, report);
        REQUIRE(stage.sink.records.size() == 1);
        CHECK(stage.sink.records[0].timed_out == true);
        CHECK(stage.sink.records[0].all_streams_ice == false);
        CHECK(stage.sink.records[0].dialog_id == "1a2b:3c4d");
        CHECK(stage.sink.records[0].record_id == "a-17");
        CHECK(stage.dispatcher->session_count() == 0);
        CHECK(stage.ask(remove_text()) == "removed");
        CHECK(stage.a.removes.empty());
    }
    SECTION("that ICE did not choose has not timed out")
    {
        report.streams[0].status = "unselected ICE candidate";
        stage.dispatcher->on_expired(stage.a, report);
        REQUIRE(stage.sink.records.size() == 1);
        CHECK(stage.sink.records[0].timed_out == false);
        CHECK(stage.sink.records[0].all_streams_ice == true);
    }
    SECTION("that was never answered is not accounted")
    {
        report.start_time.reset();
        stage.dispatcher->on_expired(stage.a, report);
        CHECK(stage.sink.records.empty());
    }
    SECTION("is a new session to the next update, at any relay")
    {
        stage.dispatcher->on_expired(stage.a, report);
        CHECK(stage.ask(Message{.cseq = "2", .media_relay = "b"}.text()).starts_with("192.0.2.2 "));
        CHECK(stage.dispatcher->session_count() == 1);
    }
    SECTION("while its removal is under way was removed")
    {
        stage.a.hold_removes = true;
        Client client = stage.proxy();
        client.send(remove_text());
        REQUIRE(stage.run_until([&] { return stage.a.held_removes.size() == 1; }));
        stage.dispatcher->on_expired(stage.a, report);
        stage.a.held_removes[0](refused);
        CHECK(client.line() == "removed");
        REQUIRE(stage.sink.records.size() == 1);
        CHECK(stage.sink.records[0].timed_out == false);
    }
}

TEST_CASE("a remove that names only another fork leaves the call")
{
    TwoRelays stage;
    stage.ask(Message{.media_relay = "a"}.text());
    stage.a.hold_removes = true;
    Client client = stage.proxy();
    client.send(remove_text("call-1", "ftag", "fork-2"));
    REQUIRE(stage.run_until([&] { return stage.a.held_removes.size() == 1; }));
    protocol::SessionReport living = FakePeer::report("call-1", "ftag");
    living.streams[0].status = "active";
    stage.a.held_removes[0](living);
    CHECK(client.line() == "removed");
    CHECK(stage.sink.records.empty());
    CHECK(stage.dispatcher->session_count() == 1);
}

TEST_CASE("a remove that may name only another fork leaves the call alone until the relay has said")
{
    TwoRelays stage;
    stage.ask(Message{.media_relay = "a"}.text());
    stage.ask(Message{.type = "reply", .to_tag = "ttag"}.text());
    stage.a.hold_removes = true;
    Client client = stage.proxy();
    client.send(remove_text("call-1", "ftag", "fork-2"));
    REQUIRE(stage.run_until([&] { return stage.a.held_removes.size() == 1; }));
    CHECK(stage.ask(Message{.cseq = "2", .to_tag = "ttag"}.text()).starts_with("192.0.2.1 "));

    protocol::SessionReport report = FakePeer::report("call-1", "ftag");
    SECTION("the call goes on")
    {
        report.streams[0].status = "active";
        stage.a.held_removes[0](report);
        CHECK(client.line() == "removed");
        CHECK(stage.sink.records.empty());
        CHECK(stage.dispatcher->session_count() == 1);
    }
    SECTION("that tag was the call's after all")
    {
        stage.a.held_removes[0](report);
        CHECK(client.line() == "removed");
        CHECK(stage.sink.records.size() == 1);
        CHECK(stage.dispatcher->session_count() == 0);
    }
    SECTION("the connection breaks: it is asked again later")
    {
        stage.a.held_removes[0](away);
        CHECK(client.line() == "removed");
        CHECK(stage.dispatcher->session_count() == 1);
        CHECK(stage.store.tables["removals"].size() == 1);
    }
}

TEST_CASE("a relay that does not know the session it is to remove has lost it")
{
    TwoRelays stage;
    stage.ask(Message{.media_relay = "a"}.text());
    stage.ask(Message{.type = "reply", .to_tag = "ttag", .user_agent = "Bob/2"}.text());
    stage.a.remove_error = refused;
    CHECK(stage.ask(remove_text()) == "removed");
    REQUIRE(stage.sink.records.size() == 1);
    const protocol::SessionReport& record = stage.sink.records[0];
    CHECK(record.lost);
    CHECK(record.timed_out == false);
    CHECK(record.to_tag == "ttag");
    CHECK(record.from_uri == "alice@example.com");
    CHECK(record.caller_ua == "Phone/1");
    CHECK(record.callee_ua == "Bob/2");
    CHECK(record.start_time.has_value());
    CHECK(record.streams.empty());
}
