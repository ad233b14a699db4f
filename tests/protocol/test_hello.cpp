// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "protocol/hello.hpp"
#include "protocol/request.hpp"

using namespace mediaproxy;
using namespace mediaproxy::protocol;

TEST_CASE("a hello survives the way over the link")
{
    const Hello hello{"relay \"one\"",
                      "1.2",
                      "7-abc-r",
                      "9-def-r",
                      {*net::Address::parse("192.0.2.1"), *net::Address::parse("2001:db8::1")},
                      {net::Family::v4, net::Family::v6},
                      {std::string(feature_pages), std::string(feature_owners)}};
    const std::string json = to_json(hello);
    CHECK(json == R"({"name": "relay \"one\"", "version": "1.2", "instance": "7-abc-r", )"
                  R"("run": "9-def-r", )"
                  R"("addresses": ["192.0.2.1", "2001:db8::1"], "families": [4, 6], )"
                  R"("features": ["sessions-pages", "owners"]})");
    const auto read = parse_hello(json);
    REQUIRE(read);
    CHECK(read->name == hello.name);
    CHECK(read->version == hello.version);
    CHECK(read->instance == hello.instance);
    CHECK(read->run == hello.run);
    CHECK(read->addresses == hello.addresses);
    CHECK(read->families == hello.families);
    CHECK(read->features == hello.features);
}

TEST_CASE("a hello that is none is refused, strange values in it are passed over")
{
    for (const char* text : {"", "{", "[]", "{}", R"({"name": 7})", R"({"name": ""})"})
        CHECK_FALSE(parse_hello(text));
    const auto read =
        parse_hello(R"({"name": "r", "addresses": ["nowhere", 4], "families": [5, "6"],
                                      "features": {}, "more": 1})");
    REQUIRE(read);
    CHECK(read->addresses.empty());
    CHECK(read->families.empty());
    CHECK(read->features.empty());
}

TEST_CASE("a pong between the dispatcher's requests is a request of its own")
{
    RequestReader reader(RequestReader::Kind::relay);
    Request request;
    reader.feed("po");
    CHECK(reader.next(request) == RequestReader::Outcome::need_more);
    reader.feed("ng\r\npong\r\nsummary 1\r\n\r\npong\r\n");
    for (const char* command : {"pong", "pong", "summary", "pong"}) {
        REQUIRE(reader.next(request) == RequestReader::Outcome::request);
        CHECK(request.command == command);
    }
    CHECK(reader.next(request) == RequestReader::Outcome::need_more);
}

TEST_CASE("a dispatcher names its features in one header")
{
    CHECK(names_feature("keep-removed", feature_keep));
    CHECK(names_feature("acknowledge, keep-removed ,owners", feature_keep));
    for (const std::string_view others : {"", ",", "keep", "keep-removed2", "not-keep-removed,x"})
        CHECK_FALSE(names_feature(others, feature_keep));
}
