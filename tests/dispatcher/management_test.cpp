// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "fakes/captured_log.hpp"
#include "protocol/session_report.hpp"
#include "stage.hpp"

using namespace mediaproxy;

namespace
{

dispatcher::Options with_array_framing()
{
    auto options = Stage::quick();
    options.management.framing = dispatcher::Options::Management::Framing::array;
    return options;
}

const std::string one = protocol::to_json(FakePeer::report("a", "f"));
const std::string two = protocol::to_json(FakePeer::report("b", "f"));

} // namespace

TEST_CASE("management: a line for each object and an empty line after each answer")
{
    Stage stage;
    FakePeer relay("r"), other("q");
    relay.listed = {FakePeer::report("a", "f"), FakePeer::report("b", "f")};
    relay.listed[0].owner = relay.listed[1].owner = "nobody";
    Client client = stage.management();
    CHECK(client.send("version\r\n").until("\r\n\r\n") == "1.2.3\r\n\r\n");
    CHECK(client.send("sessions\r\n").until("\r\n") == "\r\n");
    CHECK(client.send("summary\n").until("\r\n") == "\r\n");
    stage.dispatcher->attach(relay);
    stage.dispatcher->attach(other);
    CHECK(client.send("bogus\n").until("\r\n\r\n") == "error\r\n\r\n");
    CHECK(client.send("sessions\n").until("\r\n\r\n").find("\"call_id\": \"b\"") !=
          std::string::npos);
    CHECK(client.send("summary\r\n").until("\r\n\r\n") ==
          "{\"ip\": \"r\", \"status\": \"active\"}\r\n{\"ip\": \"q\", \"status\": "
          "\"active\"}\r\n\r\n");
    client.send("quit\r\n");
    CHECK(client.closed());
}

TEST_CASE("management: the old pages get one line with an array")
{
    Stage stage(with_array_framing());
    FakePeer relay("r");
    Client client = stage.management();
    CHECK(client.send("summary\r\n").line() == "[]");
    CHECK(client.send("version\r\n").line() == "1.2.3");
    CHECK(client.send("bogus\r\n").line() == "error");
    stage.dispatcher->attach(relay);
    relay.listed = {FakePeer::report("a", "f"), FakePeer::report("b", "f")};
    CHECK(client.send("sessions\r\n").line() == "[" + one + ", " + two + "]");
    CHECK(client.send("summary\r\n").line() == "[{\"ip\": \"r\", \"status\": \"active\"}]");
    client.send("exit\r\n");
    CHECK(client.closed());
}

TEST_CASE("management: a relay that fails is listed as such, the others are not held up for ever")
{
    Stage stage(with_array_framing());
    FakePeer good("good");
    stage.dispatcher->attach(good);
    Client relay = Client::to_port(stage.io, stage.dispatcher->relay_endpoints().at(0).port);
    relay.send("0 []\r\n");
    REQUIRE(stage.run_until([&] { return stage.dispatcher->status() == "2 relays, 0 sessions"; }));
    Client client = stage.management();
    SECTION("it is silent")
    {
        client.send("summary\r\n");
    }
    SECTION("it answers garbage")
    {
        client.send("summary\r\n");
        relay.until("summary 1\r\n\r\n");
        relay.send("1 {\"ip\": \"x\r\n");
    }
    SECTION("it goes away")
    {
        client.send("summary\r\n");
        relay.until("summary 1\r\n\r\n");
        relay.close();
    }
    CHECK(client.line() == "[{\"ip\": \"good\", \"status\": \"active\"}, {\"status\": \"error\", "
                           "\"ip\": \"127.0.0.1\"}]");
}

TEST_CASE("management: bad input is answered, commands are served in order")
{
    Stage stage;
    Client client = stage.management();
    client.send("version\r\n\x01\x02\xff\r\n" + std::string(5000, 'x') + "\r\nversion\r\n");
    CHECK(client.until("\r\n\r\n") == "1.2.3\r\n\r\n");
    CHECK(client.until("\r\n\r\n") == "error\r\n\r\n");
    CHECK(client.until("\r\n\r\n") == "error\r\n\r\n");
    CHECK(client.until("\r\n\r\n") == "1.2.3\r\n\r\n");
}

TEST_CASE("management: 2000 sessions through both framings, also for a client that reads slowly")
{
    Stage stage;
    FakePeer relay("r");
    for (int i = 0; i < 2000; ++i) {
        relay.listed.push_back(FakePeer::report("call-" + std::to_string(i), "ftag"));
        relay.listed.back().from_uri = std::string(200, 'x');
    }
    stage.dispatcher->attach(relay);
    Client client = stage.management();
    client.send("sessions\r\n");
    for (int i = 0; i < 100; ++i)
        stage.io.run_one_for(std::chrono::milliseconds(1));
    const std::string answer = client.until("\r\n\r\n");
    CHECK(std::count(answer.begin(), answer.end(), '\n') == 2001);
    CHECK(stage.ask(remove_text("unknown")) == "removed");
}

TEST_CASE("management: a client that leaves in the middle harms nobody")
{
    Stage stage;
    FakePeer relay("r");
    relay.hold_summary = true;
    stage.dispatcher->attach(relay);
    {
        Client client = stage.management();
        client.send("summary\r\n");
        REQUIRE(stage.run_until([&] { return relay.held_summaries.size() == 1; }));
    }
    for (int i = 0; i < 10; ++i)
        stage.io.poll();
    relay.held_summaries[0](std::string("{}"));
    CHECK(stage.management().send("version\r\n").line() == "1.2.3");
}

TEST_CASE("management: a client that sends and never reads is closed before it costs much")
{
    const fakes::CapturedLog log;
    Stage stage;
    FakePeer relay("r");
    relay.hold_summary = true;
    stage.dispatcher->attach(relay);
    std::string commands;
    SECTION("its answers pile up")
    {
        for (int i = 0; i < 10000; ++i)
            commands += "version\r\n";
    }
    SECTION("an answer is under way")
    {
        commands = "summary\r\n" + std::string(100000, 'x');
    }
    Client client = stage.management();
    for (int i = 0; i < 500 && log.count("sends commands faster than") == 0; ++i)
        client.send(commands);
    CHECK(client.closed());
    CHECK(log.count("sends commands faster than") == 1);
    CHECK(stage.management().send("version\r\n").line() == "1.2.3");
}

TEST_CASE("management: commands behind a long answer wait until it is read")
{
    Stage stage;
    FakePeer relay("r");
    relay.hold_summary = true;
    stage.dispatcher->attach(relay);
    Client client = stage.management();
    client.send("summary\r\nversion\r\nbogus\r\n");
    REQUIRE(stage.run_until([&] { return relay.held_summaries.size() == 1; }));
    const std::string summary = "{\"ip\": \"" + std::string(4U << 20, 'x') + "\"}";
    relay.held_summaries[0](summary);
    CHECK((client.until("\r\n\r\n") == summary + "\r\n\r\n"));
    CHECK(client.until("\r\n\r\n") == "1.2.3\r\n\r\n");
    CHECK(client.until("\r\n\r\n") == "error\r\n\r\n");
}

TEST_CASE("management: on a UNIX socket, too")
{
    auto options = Stage::quick();
    options.management.socket_path = "management.sock";
    Stage stage(options);
    FakePeer relay("r");
    for (int i = 0; i < 3000; ++i)
        relay.listed.push_back(FakePeer::report("call-" + std::to_string(i), "ftag"));
    stage.dispatcher->attach(relay);
    Client client = Client::to_path(stage.io, stage.folder.path + "/management.sock");
    CHECK(client.send("version\r\n").until("\r\n\r\n") == "1.2.3\r\n\r\n");
    const std::string answer = client.send("sessions\r\n").until("\r\n\r\n");
    CHECK(std::count(answer.begin(), answer.end(), '\n') == 3001);
    client.send("quit\r\n");
    CHECK(client.closed());
}
