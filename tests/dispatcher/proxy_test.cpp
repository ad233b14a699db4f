// SPDX-License-Identifier: GPL-2.0-or-later
#include <asio/post.hpp>
#include <catch2/catch.hpp>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <sys/socket.h>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "dispatcher/unix_listener.hpp"
#include "fakes/unprivileged.hpp"
#include "stage.hpp"

using namespace mediaproxy;

TEST_CASE("a call is made, answered and removed at the relay in the same process")
{
    Stage stage;
    FakePeer relay("here");
    stage.dispatcher->attach(relay);
    Message message;
    CHECK(stage.ask(message.text()) == "192.0.2.1 40002");
    CHECK(stage.dispatcher->session_count() == 1);
    CHECK(stage.dispatcher->status() == "1 relays, 1 sessions");
    message.type = "reply";
    message.to_tag = "ttag";
    CHECK(stage.ask(message.text()) == "192.0.2.1 40004");
    CHECK(stage.ask(remove_text()) == "removed");
    CHECK(stage.dispatcher->session_count() == 0);
    REQUIRE(stage.sink.records.size() == 1);
    const protocol::SessionReport& record = stage.sink.records[0];
    CHECK(record.dialog_id == "1a2b:3c4d");
    CHECK(record.timed_out == false);
    CHECK(record.record_id.size() == 32);
    CHECK(record.relay == "here");
    CHECK(stage.ask(remove_text()) == "removed");
    CHECK(stage.sink.records.size() == 1);
}

TEST_CASE("every bad request gets its one line")
{
    struct Case {
        const char* what;
        std::string text, answer;
    };
    const std::vector<Case> cases = {
        {"unknown command", "bogus\r\n\r\n", "error"},
        {"garbage", "\x01\x02 garbage\r\n\r\n", "error"},
        {"no header", "update\r\n\r\n", "error"},
        {"header without colon", "update\r\nthis is no header\r\n\r\n", "error"},
        {"not UTF-8", "remove\r\ncall_id: \xff\xfe\r\nfrom_tag: a\r\n\r\n", "error"},
        {"remove without tags", "remove\r\ncall_id: x\r\n\r\n", "error"},
        {"remove of what nobody knows", remove_text("nosuch"), "removed"},
        {"33 streams",
         Message{.media =
                     [] {
                         std::string all = "audio:192.0.2.1:4000:sendrecv";
                         for (int i = 0; i < 32; ++i)
                             all += ",audio:192.0.2.1:4000:sendrecv";
                         return all;
                     }()}
             .text(),
         "error"},
        {"two families",
         Message{.media = "audio:192.0.2.1:4000:sendrecv,video:2001:db8::1:4000:sendrecv"}.text(),
         "error"},
        {"IPv6 where no relay serves it",
         Message{.media = "audio:2001:db8::1:4000:sendrecv"}.text(), "error"},
        {"a reply without media of an unknown call",
         Message{.type = "reply", .to_tag = "t", .media = ""}.text(), "error"},
        {"a line of 20000 bytes", "update\r\ncall_id: " + std::string(20000, 'x') + "\r\n\r\n",
         "error"},
    };
    Stage stage;
    FakePeer relay("here");
    stage.dispatcher->attach(relay);
    Client client = stage.proxy();
    for (const Case& one : cases) {
        INFO(one.what);
        client.send(one.text);
        CHECK(client.line() == one.answer);
    }
    CHECK(client.send(Message{.call_id = "good"}.text()).line() == "192.0.2.1 40002");
    CHECK(client.received().empty());
}

TEST_CASE("a reply to a refused request creates nothing, to one without media it makes the call")
{
    Stage stage;
    FakePeer relay("here");
    stage.dispatcher->attach(relay);
    for (const bool with_media : {true, false}) {
        INFO(with_media);
        Message message{.call_id = with_media ? "left alone" : "late offer"};
        const std::string offer = message.media;
        message.media = with_media ? "nonsense" : "";
        CHECK(stage.ask(message.text()) == "error");
        message.type = "reply";
        message.to_tag = "ttag";
        message.media = offer;
        CHECK(stage.ask(message.text()) == (with_media ? "error" : "192.0.2.1 40002"));
    }
}

TEST_CASE("an endless line ends its connection and no other")
{
    Stage stage;
    FakePeer relay("here");
    stage.dispatcher->attach(relay);
    Client good = stage.proxy(), bad = stage.proxy();
    bad.send("update\r\ncall_id: ");
    for (int i = 0; i < 300; ++i)
        bad.send(std::string(4096, 'x'));
    CHECK(bad.closed());
    CHECK(good.send(Message{}.text()).line() == "192.0.2.1 40002");
}

TEST_CASE("pipelined requests are answered in their order, whoever is ready first")
{
    Stage stage;
    FakePeer relay("here");
    relay.hold_updates = true;
    stage.dispatcher->attach(relay);
    Client client = stage.proxy();
    client.send(Message{.call_id = "a"}.text() + remove_text("unknown") +
                Message{.call_id = "b"}.text());
    REQUIRE(stage.run_until([&] { return relay.held.size() == 2; }));
    protocol::Ports ports{relay.answer_address, {50000}};
    relay.held[1](ports);
    client.poll();
    CHECK(client.received().empty());
    ports.rtp = {50002};
    relay.held[0](ports);
    CHECK(client.line() == "192.0.2.1 50002");
    CHECK(client.line() == "removed");
    CHECK(client.line() == "192.0.2.1 50000");
}

TEST_CASE("a request in pieces is one request")
{
    Stage stage;
    FakePeer relay("here");
    stage.dispatcher->attach(relay);
    Client client = stage.proxy();
    for (const char c : Message{}.text()) {
        client.send({&c, 1});
        stage.io.poll();
    }
    CHECK(client.line() == "192.0.2.1 40002");
}

TEST_CASE("a client that closes its half still gets its answer")
{
    Stage stage;
    FakePeer relay("here");
    relay.hold_updates = true;
    stage.dispatcher->attach(relay);
    Client client = stage.proxy();
    client.send(Message{}.text());
    client.half_close();
    REQUIRE(stage.run_until([&] { return relay.held.size() == 1; }));
    stage.io.poll();
    relay.held[0](protocol::Ports{relay.answer_address, {50000}});
    CHECK(client.line() == "192.0.2.1 50000");
    CHECK(client.closed());
}

TEST_CASE("a silent relay: error at our deadline, and never a second line")
{
    Stage stage;
    FakePeer relay("here");
    relay.hold_updates = true;
    stage.dispatcher->attach(relay);
    Client client = stage.proxy();
    const auto begin = std::chrono::steady_clock::now();
    CHECK(client.send(Message{}.text()).line() == "error");
    const auto taken = std::chrono::steady_clock::now() - begin;
    CHECK(taken >= std::chrono::milliseconds(295));
    CHECK(taken < std::chrono::milliseconds(390));
    relay.held[0](protocol::Ports{relay.answer_address, {50000}});
    CHECK(client.send(remove_text("unknown")).line() == "removed");
    CHECK(client.received().empty());
    // The late success is of no use to anybody.
    CHECK(relay.removes == std::vector<std::string>{"call-1"});
    CHECK(stage.sink.records.empty());
}

TEST_CASE("a removal whose relay is silent is answered at the deadline, its record comes later")
{
    Stage stage;
    FakePeer relay("here");
    stage.dispatcher->attach(relay);
    CHECK(stage.ask(Message{}.text()) == "192.0.2.1 40002");
    relay.hold_removes = true;
    CHECK(stage.ask(remove_text()) == "removed");
    REQUIRE(relay.held_removes.size() == 1);
    CHECK(stage.sink.records.empty());
    relay.held_removes[0](FakePeer::report("call-1", "ftag"));
    CHECK(stage.sink.records.size() == 1);
}

TEST_CASE("a removal at a relay that is known to be silent is answered at once")
{
    Stage stage;
    FakePeer relay("here");
    stage.dispatcher->attach(relay);
    stage.ask(Message{}.text());
    relay.hold_removes = true;
    relay.state_ = dispatcher::RelayPeer::State::unresponsive;
    const auto begin = std::chrono::steady_clock::now();
    CHECK(stage.ask(remove_text()) == "removed");
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(150));
    relay.held_removes.at(0)(FakePeer::report("call-1", "ftag"));
    CHECK(stage.sink.records.size() == 1);
}

TEST_CASE("no relay at all: error")
{
    Stage stage;
    CHECK(stage.ask(Message{}.text()) == "error");
    CHECK(stage.ask(remove_text()) == "removed");
}

TEST_CASE("a proxy that closes between command and answer harms nobody")
{
    Stage stage;
    FakePeer relay("here");
    relay.hold_updates = true;
    stage.dispatcher->attach(relay);
    {
        Client client = stage.proxy();
        client.send(Message{}.text());
        REQUIRE(stage.run_until([&] { return relay.held.size() == 1; }));
    }
    Client other = stage.proxy();
    other.send(remove_text("unknown"));
    CHECK(other.line() == "removed");
    relay.held[0](protocol::Ports{relay.answer_address, {50000}});
    CHECK(stage.dispatcher->session_count() == 1);
}

TEST_CASE("a proxy that asks too much at once waits its turn, and is not forgotten")
{
    Stage stage;
    FakePeer relay("here");
    relay.hold_updates = true;
    stage.dispatcher->attach(relay);
    Client client = stage.proxy();
    constexpr std::size_t calls = 300; // more than may be open on one connection
    for (std::size_t i = 0; i < calls; ++i)
        client.send(Message{.call_id = "call-" + std::to_string(i)}.text());
    REQUIRE(stage.run_until([&] { return relay.held.size() >= 256; }));
    stage.io.poll();
    CHECK(relay.held.size() == 256);
    for (std::size_t i = 0; i < calls; ++i) {
        REQUIRE(stage.run_until([&] { return relay.held.size() > i; }));
        relay.held[i](protocol::Ports{relay.answer_address, {static_cast<net::Port>(20000 + i)}});
    }
    for (std::size_t i = 0; i < calls; ++i)
        REQUIRE(client.line() == "192.0.2.1 " + std::to_string(20000 + i));
}

TEST_CASE("a proxy that takes no answers costs itself its connection, and nobody else anything")
{
    Stage stage;
    Client deaf = stage.proxy(), other = stage.proxy();
    const std::string many = [] {
        std::string text;
        for (int i = 0; i < 100; ++i)
            text += remove_text("unknown");
        return text;
    }();
    // Until what the socket holds and 64 kB more lie there. It takes more requests than answers.
    const auto asked = [&] {
        return ::send(deaf.descriptor(), many.data(), many.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    };
    REQUIRE(stage.run_until([&] { return asked() < 0 && errno == EPIPE; }));
    CHECK(other.send(remove_text("unknown")).line() == "removed");
}

TEST_CASE("a proxy that reads late gets every answer")
{
    Stage stage;
    Client client = stage.proxy();
    int requests = 0, length = 4096;
    ::setsockopt(client.descriptor(), SOL_SOCKET, SO_RCVBUF, &length, sizeof length);
    std::string text;
    for (; requests < 3000; ++requests)
        text += remove_text("unknown");
    client.send(text);
    for (int i = 0; i < requests; ++i)
        REQUIRE(client.line() == "removed");
}

TEST_CASE("what runs out while the dispatcher ends touches nothing of it")
{
    Stage stage;
    FakePeer relay("here");
    stage.dispatcher->attach(relay);
    REQUIRE(stage.ask(Message{}.text()) == "192.0.2.1 40002");  // it will be saved in 20 ms
    std::this_thread::sleep_for(std::chrono::milliseconds(40)); // nobody looks at the timers
    // The loop takes the timer for due, then runs this, then what the timer was to do.
    asio::post(stage.io, [&] { stage.dispatcher.reset(); });
    stage.io.restart();
    stage.io.poll();
    CHECK_FALSE(stage.dispatcher);
}

TEST_CASE("the socket file")
{
    TemporaryFolder folder;
    const std::string path = folder.path + "/sock";
    const dispatcher::UnixListener::Access access{"", "", 0600};
    SECTION("has the mode asked for and goes with the listener")
    {
        struct stat status {
        };
        {
            auto listener = dispatcher::UnixListener::open(path, access);
            REQUIRE(listener);
            REQUIRE(::stat(path.c_str(), &status) == 0);
            CHECK((status.st_mode & 07777) == 0600);
        }
        CHECK(::stat(path.c_str(), &status) != 0);
    }
    SECTION("left behind by a dead process is replaced")
    {
        {
            auto listener = dispatcher::UnixListener::open(path, access);
            REQUIRE(listener);
            REQUIRE(::link(path.c_str(), (path + "2").c_str()) == 0);
        }
        REQUIRE(::rename((path + "2").c_str(), path.c_str()) == 0);
        CHECK(dispatcher::UnixListener::open(path, access));
    }
    SECTION("is given to a group of our own without privileges, and to another user not")
    {
        REQUIRE(::chmod(folder.path.c_str(), 0777) == 0);
        const fakes::Unprivileged somebody;
        const std::string own = std::to_string(::getegid());
        CHECK(dispatcher::UnixListener::open(path, {"", own, 0660}));
        const auto refused = dispatcher::UnixListener::open(path, {"0", "", 0660});
        REQUIRE_FALSE(refused);
        CHECK_THAT(refused.error().message,
                   Catch::Contains("setting owner and group") &&
                       Catch::Contains("not permitted: without CAP_CHOWN only to a group that "
                                       "mediaproxyd's user is in"));
    }
    SECTION("where somebody listens is an error")
    {
        auto first = dispatcher::UnixListener::open(path, access);
        REQUIRE(first);
        const auto second = dispatcher::UnixListener::open(path, access);
        REQUIRE_FALSE(second);
        CHECK(second.error().message.find("another process listens") != std::string::npos);
    }
    SECTION("that is no socket is an error and stays")
    {
        std::ofstream(path) << "precious";
        const auto listener = dispatcher::UnixListener::open(path, access);
        REQUIRE_FALSE(listener);
        CHECK(listener.error().message.find("no socket") != std::string::npos);
        struct stat status {
        };
        CHECK(::stat(path.c_str(), &status) == 0);
    }
    SECTION("in a folder that is not there, too long, or with an unknown owner is an error")
    {
        CHECK_FALSE(dispatcher::UnixListener::open(folder.path + "/no/sock", access));
        CHECK_FALSE(dispatcher::UnixListener::open("/tmp/" + std::string(200, 'x'), access));
        const auto unknown = dispatcher::UnixListener::open(path, {"no-such-user-here", "", 0600});
        REQUIRE_FALSE(unknown);
        CHECK(unknown.error().message.find("no-such-user-here") != std::string::npos);
    }
}
