// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <string>

#include "protocol/command.hpp"
#include "protocol/reply.hpp"

using namespace mediaproxy;
using namespace mediaproxy::protocol;

namespace
{

Request update_request()
{
    Request request;
    request.command = "update";
    request.headers = {{"type", "request"},
                       {"dialog_id", "1a2b:3c4d"},
                       {"call_id", "c1"},
                       {"cseq", "1"},
                       {"from_uri", "a@x"},
                       {"to_uri", "b@x"},
                       {"from_tag", "ftag"},
                       {"user_agent", "UA"},
                       {"signaling_ip", "20.1.0.2"},
                       {"media", "audio:20.1.0.2:5000:sendrecv:ice=no"}};
    return request;
}

Request without(std::string_view name)
{
    Request request = update_request();
    std::erase_if(request.headers, [&](const Header& header) { return header.name == name; });
    return request;
}

Request with(std::string_view name, std::string_view value)
{
    Request request = without(name);
    request.headers.push_back({name, value});
    return request;
}

} // namespace

TEST_CASE("an update is parsed once")
{
    const Request request = update_request();
    const auto update = parse_update(request);
    REQUIRE(update);
    CHECK(update->type == MessageType::request);
    CHECK(update->cseq == 1);
    CHECK(update->call_id == "c1");
    CHECK(update->from_tag == "ftag");
    CHECK(update->to_tag.empty());
    CHECK(update->signaling.source.to_string() == "20.1.0.2");
    REQUIRE(update->has_media);
    REQUIRE(update->media.size() == 1);
    CHECK(update->media[0].type == "audio");
    CHECK(update->media[0].address.to_string() == "20.1.0.2:5000");
}

TEST_CASE("an update lacks nothing that it needs")
{
    for (const char* name : {"call_id", "from_tag", "from_uri", "to_uri", "cseq", "type"}) {
        const Request request = without(name);
        const auto update = parse_update(request);
        REQUIRE_FALSE(update);
        CHECK(update.error().message == std::string("update: no header ") + name);
    }
    for (const char* name : {"user_agent", "signaling_ip", "dialog_id", "media"}) {
        const Request request = without(name);
        CHECK(parse_update(request));
    }
    const Request request = without("media");
    CHECK_FALSE(parse_update(request)->has_media);
}

TEST_CASE("an update with a wrong value is refused")
{
    for (const auto& [name, value] :
         {std::pair{"type", "foo"}, {"cseq", "abc"}, {"cseq", "-1"}, {"cseq", "4294967296"}}) {
        const Request request = with(name, value);
        CHECK_FALSE(parse_update(request));
    }
}

TEST_CASE("media lines are read from the right")
{
    struct Case {
        const char *text, *type, *address;
        Direction direction;
        bool ice, holds;
    };
    for (const Case& c :
         {Case{"audio:20.1.0.2:5000:sendrecv:ice=no", "audio", "20.1.0.2:5000", Direction::sendrecv,
               false, false},
          {"audio:20.1.0.2:5000:sendonly:ice=yes", "audio", "20.1.0.2:5000", Direction::sendonly,
           true, true},
          {"audio:2001:db8::a:20000:sendrecv:ice=no", "audio", "[2001:db8::a]:20000",
           Direction::sendrecv, false, false},
          {"video:20.1.0.2:5002:recvonly", "video", "20.1.0.2:5002", Direction::recvonly, false,
           false},
          {"image:0.0.0.0:5002:sendrecv:ice=no:new=thing", "image", "0.0.0.0:5002",
           Direction::sendrecv, false, true},
          {"audio::::5002:inactive", "audio", "[::]:5002", Direction::inactive, false, true},
          {"audio:20.1.0.2:5000:sendrecv:,", "audio", "20.1.0.2:5000", Direction::sendrecv, false,
           false}}) {
        INFO(c.text);
        const auto media = parse_media(c.text);
        REQUIRE(media);
        REQUIRE(media->size() == 1);
        const MediaLine& line = (*media)[0];
        CHECK(line.type == c.type);
        CHECK(line.address.to_string() == c.address);
        CHECK(line.direction == c.direction);
        CHECK(line.ice == c.ice);
        CHECK(line.holds() == c.holds);
    }
}

TEST_CASE("media that cannot be read is refused whole")
{
    for (const char* text :
         {"", ",", ":", "audio", "audio:20.1.0.2:5000", "audio:20.1.0.2:5000:foo",
          "audio:20.1.0.2:5000:sendrecv:ice", "audio:20.1.0.2:x:sendrecv",
          "audio:20.1.0.2:70000:sendrecv", "audio:20.1.0.2:-1:sendrecv",
          "audio:host.example:5000:sendrecv", ":20.1.0.2:5000:sendrecv", "audio::5000:sendrecv",
          "audio:20.1.0.2:5000:sendrecv,video", "ice=no",
          "=:=:=", "audio:20.1.0.2:5000:sendrecv,,"}) {
        INFO(text);
        CHECK_FALSE(parse_media(text));
    }
}

TEST_CASE("thirty-two streams are the most")
{
    std::string text = "audio:20.1.0.2:5000:sendrecv";
    for (int i = 1; i < 32; ++i)
        text += ",audio:20.1.0.2:0:sendrecv";
    REQUIRE(parse_media(text));
    CHECK(parse_media(text)->size() == 32);
    CHECK((*parse_media(text))[31].disabled());
    const auto more = parse_media(text + ",audio:20.1.0.2:5000:sendrecv");
    REQUIRE_FALSE(more);
    CHECK(more.error().message == "media: more than 32 streams");
}

TEST_CASE("signaling_ip has three forms")
{
    CHECK(parse_signaling("20.1.0.2").source.to_string() == "20.1.0.2");
    const Signaling pair = parse_signaling("20.1.0.2_20.2.0.2");
    CHECK(pair.source.to_string() == "20.1.0.2");
    CHECK(pair.destination.to_string() == "20.2.0.2");
    const Signaling object = parse_signaling(
        R"({"signaling_ip": "20.1.0.2", "destination_ip": "2001:db8::1", "username": "alice@example.com"})");
    CHECK(object.source.to_string() == "20.1.0.2");
    CHECK(object.destination.to_string() == "2001:db8::1");
    CHECK(object.username == "alice@example.com");
    for (const char* text : {"{}", "{", "5", "a_b_c", "{\"signaling_ip\": 5}", "[[[["}) {
        INFO(text);
        CHECK_FALSE(parse_signaling(text).source);
    }
}

TEST_CASE("a remove names its call by either tag")
{
    Request request;
    request.headers = {{"call_id", "c1"}, {"to_tag", "t"}};
    CHECK(parse_remove(request)->to_tag == "t");
    request.headers = {{"call_id", "c1"}};
    CHECK_FALSE(parse_remove(request));
    request.headers = {{"from_tag", "f"}};
    CHECK_FALSE(parse_remove(request));
}

TEST_CASE("ports are read and written")
{
    std::string out;
    format_ports(out, Ports{net::Address::parse("20.3.0.1").value(), {40002, 0}});
    CHECK(out == "20.3.0.1 40002 0");
    CHECK(parse_ports(out)->rtp == std::vector<net::Port>{40002, 0});
    CHECK(parse_ports("2001:db8::1 1")->address.is_v6());
    CHECK(parse_ports("20.3.0.1")->rtp.empty());
    for (const char* bad : {"", "None", "error", "halting", "20.3.0.1 ", "20.3.0.1 x",
                            "20.3.0.1 70000", "20.3.0.1  1", "0.0.0.0 1", "[1, 2]"})
        CHECK_FALSE(parse_ports(bad));
}

TEST_CASE("lines of a relay are told apart")
{
    using Kind = RelayLine::Kind;
    CHECK(parse_relay_line("ping").kind == Kind::ping);
    const RelayLine answer = parse_relay_line("17 20.3.0.1 40002");
    CHECK((answer.kind == Kind::answer && answer.seq == 17 && answer.text == "20.3.0.1 40002"));
    CHECK(parse_relay_line("expired {}").text == "{}");
    for (const char* text : {"", "17", "-1 x", "hello {}", "99999999999999999999999 x", "pong"})
        CHECK(parse_relay_line(text).kind == Kind::unknown);
}
