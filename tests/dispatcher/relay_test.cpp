// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "dispatcher/tcp_listener.hpp"
#include "fakes/captured_log.hpp"
#include "scripted_relay.hpp"

using namespace mediaproxy;

TEST_CASE("MediaProxy 4 hears what it knows, byte for byte")
{
    Stage stage;
    Relay relay = Relay::old(stage);
    Client proxy = stage.proxy();
    proxy.send(Message{}.text());
    CHECK(relay.request() == "update 1\r\ntype: request\r\ndialog_id: 1a2b:3c4d\r\n"
                             "call_id: call-1\r\ncseq: 1\r\nfrom_uri: alice@example.com\r\n"
                             "to_uri: bob@example.com\r\nfrom_tag: ftag\r\nuser_agent: Phone/1\r\n"
                             "signaling_ip: 192.0.2.10\r\n"
                             "media: audio:192.0.2.10:5000:sendrecv:ice=no\r\n\r\n");
    relay.say("1 20.3.0.1 40002");
    CHECK(proxy.line() == "20.3.0.1 40002");
    proxy.send(remove_text());
    CHECK(relay.request() ==
          "remove 2\r\ncall_id: call-1\r\nfrom_tag: ftag\r\nto_tag: ttag\r\n\r\n");
    relay.say("2 " + json_of("call-1"));
    CHECK(proxy.line() == "removed");
    REQUIRE(stage.sink.records.size() == 1);
    CHECK(stage.sink.records[0].record_id.size() == 32);
    CHECK(stage.sink.records[0].relay == "127.0.0.1");
}

TEST_CASE("MediaProxy 4 is given the agent and the address that it insists on")
{
    Stage stage;
    Relay relay = Relay::old(stage);
    Client proxy = stage.proxy();
    proxy.send(Message{.user_agent = "", .signaling_ip = ""}.text());
    const std::string request = relay.request();
    CHECK(request.find("\r\nuser_agent: unknown agent\r\n") != std::string::npos);
    CHECK(request.find("\r\nsignaling_ip: 192.0.2.10\r\n") != std::string::npos);
}

TEST_CASE("what a relay answers to an update")
{
    struct Case {
        const char* relay_says;
        const char* proxy_hears;
    };
    const Case cases[] = {
        {"20.3.0.1 40002", "20.3.0.1 40002"},
        {"20.3.0.1", "20.3.0.1 0"},
        {"20.3.0.1 40002 40006", "20.3.0.1 40002 40006"},
        {"error", "error"},
        {"halting", "error"},
        {"None", "error"},
        {"", "error"},
        {"20.3.0.1 70000", "error"},
        {"20.3.0.1 x", "error"},
        {"2001:db8::1 40000", "error"},
        {"0.0.0.0 40000", "error"},
        {"{\"ip\": 1}", "error"},
    };
    for (const Case& one : cases) {
        INFO(one.relay_says);
        Stage stage;
        Relay relay = Relay::old(stage);
        Client proxy = stage.proxy();
        proxy.send(Message{}.text());
        relay.request();
        relay.say(std::string("1 ") + one.relay_says);
        CHECK(proxy.line() == one.proxy_hears);
        const std::size_t sessions = std::string(one.proxy_hears) == "error" ? 0 : 1;
        CHECK(stage.dispatcher->session_count() == sessions);
    }
}

TEST_CASE("answers in any order, twice, to nothing, and garbage between them")
{
    Stage stage;
    Relay relay = Relay::old(stage);
    Client first = stage.proxy(), second = stage.proxy();
    first.send(Message{.call_id = "a"}.text());
    relay.request();
    second.send(Message{.call_id = "b"}.text());
    relay.request();
    relay.send(
        "\x01\xff\x80 binary\r\n\r\nfoo\r\n99999999999999999999 x\r\n77 error\r\nexpired {\r\n"
        "expired [1]\r\n");
    relay.say("2 20.3.0.1 40006");
    relay.say("2 20.3.0.1 40008");
    relay.say("ping");
    relay.say("1 20.3.0.1 40002");
    relay.say("1 error");
    CHECK(second.line() == "20.3.0.1 40006");
    CHECK(first.line() == "20.3.0.1 40002");
    CHECK(relay.line() == "pong");
    CHECK(stage.dispatcher->session_count() == 2);
    CHECK(first.received().empty());
}

TEST_CASE("an endless line from a relay does not grow for ever")
{
    Stage stage;
    Relay relay = Relay::old(stage);
    const std::string block(1 << 16, 'x');
    for (int i = 0; i < 100; ++i)
        relay.send(block);
    relay.send("\r\n");
    relay.settle(stage);
    CHECK(stage.dispatcher->status() == "1 relays, 0 sessions");
}

TEST_CASE("a relay whose list is longer than we take is of use, and not asked for it again")
{
    const fakes::CapturedLog log;
    auto options = Stage::quick();
    options.cleanup_expired_sessions_after = Seconds{1}; // looks four times a second whom to ask
    Stage stage(options);
    Relay relay(stage);
    relay.request();
    relay.say("0 [" + std::string(5U << 20, ' ') + "]");
    relay.settle(stage);
    CHECK(stage.dispatcher->status() == "1 relays, 0 sessions");
    CHECK(log.count("relay 127.0.0.1: its list of sessions: it is longer than 4 MiB") == 1);
    // Whoever gave half a list is asked in turn.
    FakePeer other("other");
    other.list_error = invalid("half a list");
    stage.dispatcher->attach(other);
    REQUIRE(stage.run_until([&] { return other.lists == 3; }));
    CHECK(stage.management().send("sessions\r\n").line().empty());
    relay.settle(stage);
    Client proxy = stage.proxy();
    proxy.send(Message{.media_relay = "127.0.0.1"}.text());
    CHECK(relay.request().starts_with("update 1\r\n"));
    relay.say("1 20.3.0.1 40002");
    CHECK(proxy.line() == "20.3.0.1 40002");
    CHECK(log.count("no answer within") == 0);
    CHECK(log.count("is passed over") == 1);
}

TEST_CASE("a relay that is silent is unresponsive until it pings, and dropped in the end")
{
    Stage stage;
    Relay relay = Relay::old(stage);
    FakePeer other("other");
    other.update_error = invalid("error");
    stage.dispatcher->attach(other);
    Client proxy = stage.proxy();
    proxy.send(Message{.call_id = "a", .media_relay = "127.0.0.1"}.text());
    relay.request();
    CHECK(proxy.line() == "error");
    // Until relay_timeout it is asked, afterwards it is not.
    int asked = 1;
    REQUIRE(stage.run_until([&] {
        proxy.send(Message{.call_id = "b" + std::to_string(asked)}.text());
        CHECK(proxy.line() == "error");
        relay.poll();
        const std::string seen = relay.received();
        const int now = static_cast<int>(std::count(seen.begin(), seen.end(), '\n') /
                                         12); // lines of one update
        return std::exchange(asked, now + 1) == now + 1;
    }));
    SECTION("a ping makes it useful again")
    {
        relay.until("\r\n\r\n");
        relay.say("ping");
        REQUIRE(stage.run_until([&] {
            relay.poll();
            return relay.received().find("pong\r\n") != std::string::npos;
        }));
        relay.until("pong\r\n");
        proxy.send(Message{.call_id = "c", .media_relay = "127.0.0.1"}.text());
        CHECK(relay.request().find("call_id: c\r\n") != std::string::npos);
    }
    SECTION("without one it is dropped")
    {
        CHECK(relay.closed());
        CHECK(
            stage.run_until([&] { return stage.dispatcher->status() == "1 relays, 0 sessions"; }));
    }
}

TEST_CASE("a relay that goes away between question and answer")
{
    Stage stage;
    FakePeer other("other");
    stage.dispatcher->attach(other);
    Relay relay = Relay::old(stage);
    Client proxy = stage.proxy();
    SECTION("a new session moves on at once")
    {
        proxy.send(Message{.media_relay = "127.0.0.1"}.text());
        relay.request();
        relay.close();
        CHECK(proxy.line() == "192.0.2.1 40002");
    }
    SECTION("a removal is kept and delivered when it is back")
    {
        proxy.send(Message{.media_relay = "127.0.0.1"}.text());
        relay.request();
        relay.say("1 20.3.0.1 40002");
        proxy.line();
        proxy.send(remove_text());
        relay.request();
        relay.close();
        CHECK(proxy.line() == "removed");
        CHECK(stage.store.tables["removals"].size() == 1);
        Relay back(stage);
        back.request();
        back.say("0 [" + json_of("call-1") + "]");
        CHECK(back.request() == "remove 1\r\ncall_id: call-1\r\nfrom_tag: ftag\r\n\r\n");
        back.say("1 " + json_of("call-1"));
        REQUIRE(stage.run_until([&] { return stage.sink.records.size() == 1; }));
        CHECK(stage.sink.records[0].timed_out == false);
        CHECK(stage.store.tables["removals"].empty());
    }
}

TEST_CASE("a new connection of the same relay replaces the old one")
{
    Stage stage;
    Relay first = Relay::old(stage);
    Relay second = Relay::old(stage);
    CHECK(first.closed());
    CHECK(stage.dispatcher->status() == "1 relays, 0 sessions");
    Client proxy = stage.proxy();
    proxy.send(Message{}.text());
    CHECK(second.request().starts_with("update 1\r\n"));
}

TEST_CASE("relays of ours behind one address are told apart by their names")
{
    Stage stage;
    Relay first = Relay::ours(stage, "one");
    Relay second = Relay::ours(stage, "two");
    CHECK(stage.dispatcher->status() == "2 relays, 0 sessions");
    Client proxy = stage.proxy();
    proxy.send(Message{.media_relay = "two"}.text());
    CHECK(second.request().starts_with("update 3\r\n"));
    Relay again = Relay::ours(stage, "two");
    CHECK(second.closed());
    CHECK(stage.dispatcher->status() == "2 relays, 0 sessions");
}

TEST_CASE("a relay of ours that comes back replaces itself, not another one of its name")
{
    Stage stage;
    SECTION("the relay in this process has that name")
    {
        FakePeer local("r");
        stage.dispatcher->attach(local);
        Relay namesake(stage);
        namesake.say(Relay::hello("r", "2"));
        CHECK(namesake.closed());
        CHECK(stage.ask(Message{}.text()) != "error");
        CHECK(local.updates.size() == 1);
    }
    SECTION("another one is connected: it keeps its place and its calls")
    {
        Relay first = Relay::ours(stage, "r", "[]", "1");
        Client proxy = stage.proxy();
        proxy.send(Message{}.text() + Message{.type = "reply", .to_tag = "ttag"}.text());
        first.request();
        first.say("3 20.3.0.1 40002");
        first.request();
        first.say("4 20.3.0.1 40000");
        proxy.line();
        proxy.line();
        Relay namesake(stage);
        namesake.say(Relay::hello("r", "2"));
        CHECK(namesake.closed());
        CHECK(stage.dispatcher->status() == "1 relays, 1 sessions");
        CHECK(stage.sink.records.empty());
        proxy.send(remove_text());
        CHECK(first.request().starts_with("remove 5\r\n"));
    }
    SECTION("it was started again")
    {
        Relay first = Relay::ours(stage, "r", "[]", "1");
        Relay second = Relay::ours(stage, "r", "[]", "1");
        CHECK(first.closed());
    }
    SECTION("another one was cloned with what it knew: it shows when the first one comes back")
    {
        Relay first = Relay::ours(stage, "r", "[]", "1", "a");
        Relay clone = Relay::ours(stage, "r", "[]", "1", "b");
        CHECK(first.closed());
        Relay again(stage);
        again.say(Relay::hello("r", "1", "a"));
        CHECK(again.closed());
        INFO("the same run over another connection is no clone, nor is the next run");
        Relay same = Relay::ours(stage, "r", "[]", "1", "b");
        CHECK(clone.closed());
        Relay next = Relay::ours(stage, "r", "[]", "1", "c");
        CHECK(same.closed());
    }
    SECTION("it was started again without what it knew, and the old connection is dead")
    {
        Relay first = Relay::ours(stage, "r", "[]", "1");
        CHECK(stage.ask(Message{}.text()) == "error"); // nobody answers
        REQUIRE(stage.run_until([&] {
            Relay second(stage);
            second.say(Relay::hello("r", "2"));
            second.request();
            return second.request().starts_with("hello 1\r\n") && first.closed();
        }));
    }
    CHECK(stage.dispatcher->status().starts_with("1 relays"));
}

TEST_CASE("a relay of ours serves the families it told, by the addresses it told")
{
    Stage stage;
    Relay relay = Relay::ours(stage, "one");
    Client proxy = stage.proxy();
    proxy.send(Message{
        .media = "audio:2001:db8::9:4000:sendrecv", .media_relay = "198.51.100.7", .user_agent = ""}
                   .text());
    const std::string request = relay.request();
    CHECK(request.find("user_agent") == std::string::npos);
    relay.say("3 2001:db8::1 4000");
    CHECK(proxy.line() == "2001:db8::1 4000");
}

TEST_CASE("a list comes in pages, and our sessions are taken back")
{
    Stage stage;
    Relay relay(stage);
    relay.say("hello {\"name\": \"r\"}");
    relay.request();
    relay.request();
    CHECK(relay.request() == "sessions 2\r\nafter: 0\r\nmost: 250\r\n\r\n");
    relay.say("0 []");
    relay.say("2 {\"sessions\": [" + json_of("a", "", "dispatcher-1") + "], \"next\": 17}");
    CHECK(relay.request() == "sessions 3\r\nafter: 17\r\nmost: 250\r\n\r\n");
    relay.say("3 {\"sessions\": [" + json_of("b", "", "dispatcher-1") + ", " +
              json_of("c", "", "somebody else") + "], \"next\": 0}");
    CHECK(stage.run_until([&] { return stage.dispatcher->session_count() == 2; }));
}

TEST_CASE("a record is acknowledged when it is safe, and accounted once")
{
    Stage stage;
    stage.sink.at_once = false;
    Relay relay = Relay::ours(stage, "r");
    relay.say("expired " + json_of("a", "id-1", "dispatcher-1"));
    relay.say("expired " + json_of("a", "id-1", "dispatcher-1"));
    relay.settle(stage);
    CHECK(stage.sink.records.size() == 1);
    REQUIRE(stage.sink.waiting.size() == 1);
    stage.sink.waiting[0]();
    CHECK(relay.request() == "acknowledge 3\r\nrecord_id: id-1\r\n\r\n");
    relay.say("3 acknowledged");
    relay.say("expired " + json_of("a", "id-1", "dispatcher-1"));
    CHECK(relay.request() == "acknowledge 4\r\nrecord_id: id-1\r\n\r\n");
    CHECK(stage.sink.records.size() == 1);

    SECTION("over a restart, too")
    {
        stage.restart();
        Relay back = Relay::ours(stage, "r");
        back.say("expired " + json_of("a", "id-1", "dispatcher-1"));
        CHECK(back.request() == "acknowledge 3\r\nrecord_id: id-1\r\n\r\n");
        CHECK(stage.sink.records.size() == 1);
    }
}

TEST_CASE("a session that ended while its relay was away is not lost when its record follows")
{
    Stage stage;
    {
        Relay relay = Relay::ours(stage, "r");
        Client proxy = stage.proxy();
        proxy.send(Message{}.text());
        relay.request();
        relay.say("3 20.3.0.1 40002");
        proxy.line();
        proxy.send(Message{.type = "reply", .to_tag = "ttag"}.text());
        relay.request();
        relay.say("4 20.3.0.1 40000");
        proxy.line();
    }
    SECTION("it follows")
    {
        Relay back = Relay::ours(stage, "r");
        back.say("expired " + json_of("call-1", "id-1", "dispatcher-1"));
        REQUIRE(stage.run_until([&] { return stage.sink.records.size() == 1; }));
        CHECK_FALSE(stage.sink.records[0].lost);
        CHECK(stage.sink.records[0].timed_out == true);
    }
    SECTION("it does not")
    {
        Relay back = Relay::ours(stage, "r");
        CHECK(stage.sink.records.empty());
        REQUIRE(stage.run_until([&] { return stage.sink.records.size() == 1; }));
        CHECK(stage.sink.records[0].lost);
    }
}

TEST_CASE("MediaProxy 4 comes back without its sessions: they are lost at once")
{
    Stage stage;
    {
        Relay relay = Relay::old(stage);
        Client proxy = stage.proxy();
        proxy.send(Message{}.text());
        relay.request();
        relay.say("1 20.3.0.1 40002");
        proxy.line();
        proxy.send(Message{.type = "reply", .to_tag = "ttag"}.text());
        relay.request();
        relay.say("2 20.3.0.1 40000");
        proxy.line();
    }
    Relay back = Relay::old(stage, "[" + json_of("foreign") + "]");
    REQUIRE(stage.run_until([&] { return stage.sink.records.size() == 1; }));
    CHECK(stage.sink.records[0].lost);
    CHECK(stage.dispatcher->session_count() == 0);
    // What it lists beside is a hint.
    Client proxy = stage.proxy();
    proxy.send(remove_text("foreign"));
    CHECK(back.request().starts_with("remove 1\r\ncall_id: foreign\r\n"));
    back.say("1 " + json_of("foreign"));
    CHECK(proxy.line() == "removed");
    CHECK(stage.sink.records.size() == 2);
}

TEST_CASE("a list that is cut is asked for again, and loses nobody")
{
    Stage stage;
    Relay relay(stage);
    relay.request();
    relay.say("0 [{\"call_id\": \"x\", \"from_");
    relay.settle(stage);
    CHECK(stage.dispatcher->status() == "1 relays, 0 sessions");
    CHECK(stage.sink.records.empty());
}

TEST_CASE("a call that MediaProxy 4 listed is known to be there until the next list")
{
    Stage stage;
    Relay relay = Relay::old(stage, "[" + json_of("listed") + "]");
    Client proxy = stage.proxy();
    proxy.send(Message{.call_id = "listed", .cseq = "2", .to_tag = "ttag"}.text());
    relay.request();
    relay.say("1 error");
    CHECK(proxy.line() == "error");
    proxy.send(remove_text("listed"));
    CHECK(relay.request().starts_with("remove 2\r\ncall_id: listed\r\n"));
    relay.say("2 " + json_of("listed"));
    CHECK(proxy.line() == "removed");
    CHECK(stage.sink.records.size() == 1);
}

TEST_CASE("a removal that is answered by garbage is a lost record")
{
    Stage stage;
    Relay relay = Relay::old(stage);
    Client proxy = stage.proxy();
    proxy.send(Message{}.text() + Message{.type = "reply", .to_tag = "ttag"}.text());
    relay.request();
    relay.say("1 20.3.0.1 40002");
    relay.request();
    relay.say("2 20.3.0.1 40000");
    proxy.line();
    proxy.line();
    proxy.send(remove_text());
    relay.request();
    relay.say("3 {\"call_id\": \"call-1");
    CHECK(proxy.line() == "removed");
    REQUIRE(stage.sink.records.size() == 1);
    CHECK(stage.sink.records[0].lost);
}

TEST_CASE("what MediaProxy 4 does not say of a call's offer, its record has from us")
{
    Stage stage;
    Relay relay = Relay::old(stage);
    Client proxy = stage.proxy();
    const auto seconds = [] {
        return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    };
    const double before = seconds();
    proxy.send(Message{}.text() + Message{.type = "reply", .to_tag = "ttag"}.text());
    relay.request();
    relay.say("1 20.3.0.1 40002");
    relay.request();
    const double after = seconds();
    relay.say("2 20.3.0.1 40000");
    proxy.line();
    proxy.line();

    protocol::SessionReport report = FakePeer::report("call-1", "ftag");
    report.start_time = after + 1;
    report.streams.assign(2, {});
    report.streams[0].post_dial_delay = 0.5;
    report.streams[1].start_time = 20;
    proxy.send(remove_text());
    relay.request();
    SECTION("for the streams that it began with")
    {
        relay.say("3 " + protocol::to_json(report));
        CHECK(proxy.line() == "removed");
        REQUIRE(stage.sink.records.size() == 1);
        const auto& streams = stage.sink.records[0].streams;
        REQUIRE(streams.at(0).created_at);
        CHECK(*streams[0].created_at >= before - 0.001);
        CHECK(*streams[0].created_at <= after + 0.001);
        CHECK_FALSE(streams.at(1).created_at);
    }
    SECTION("unless that would be after the answer, as by a clock that differs")
    {
        report.start_time = before - 10;
        relay.say("3 " + protocol::to_json(report));
        CHECK(proxy.line() == "removed");
        REQUIRE(stage.sink.records.size() == 1);
        CHECK_FALSE(stage.sink.records[0].streams.at(0).created_at);
    }
}

TEST_CASE("a second listener on the same port is an error that names it")
{
    Stage stage;
    dispatcher::Options options = Stage::quick();
    options.listen = {stage.dispatcher->relay_endpoints().at(0)};
    TemporaryFolder folder;
    dispatcher::Dispatcher::Environment environment{.io = stage.io};
    environment.runtime_dir = folder.path;
    const auto second = dispatcher::Dispatcher::create(options, std::move(environment));
    REQUIRE_FALSE(second);
    CHECK(second.error().message.find(options.listen[0].to_string()) != std::string::npos);
}

TEST_CASE("every IPv4 and every IPv6 address can be listened on with the same port")
{
    asio::io_context io;
    const auto listen = [&](const net::Endpoint& endpoint) {
        return dispatcher::TcpListener::open(io, "listener", {endpoint},
                                             [](const asio::ip::tcp::socket&) {});
    };
    const auto v4 = listen({*net::Address::parse("0.0.0.0"), 0});
    REQUIRE(v4);
    const auto v6 = listen({*net::Address::parse("::"), (*v4)->endpoints().at(0).port});
    if (!v6)
        FAIL(v6.error().message);
    CHECK((*v6)->endpoints().at(0).address.is_v6());
}
