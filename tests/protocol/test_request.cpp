// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <string>
#include <vector>

#include "protocol/request.hpp"

using namespace mediaproxy::protocol;
using Outcome = RequestReader::Outcome;

namespace
{

const std::string update = "update\r\n"
                           "type: request\r\n"
                           "call_id: call-1@alice\r\n"
                           "to_tag: \r\n"
                           "\r\n";

} // namespace

TEST_CASE("a request is read however it is cut into pieces")
{
    for (std::size_t piece = 1; piece <= update.size(); ++piece) {
        RequestReader reader(RequestReader::Kind::proxy);
        Request request;
        Outcome outcome = Outcome::need_more;
        for (std::size_t at = 0; at < update.size(); at += piece) {
            REQUIRE(outcome == Outcome::need_more);
            reader.feed(std::string_view(update).substr(at, piece));
            outcome = reader.next(request);
        }
        REQUIRE(outcome == Outcome::request);
        CHECK(request.command == "update");
        CHECK(request.find("call_id") == "call-1@alice");
        CHECK(request.headers.size() == 2); // an empty value counts as absent
        CHECK(reader.next(request) == Outcome::need_more);
    }
}

TEST_CASE("pipelined requests come out in order")
{
    RequestReader reader(RequestReader::Kind::proxy);
    reader.feed("remove\r\ncall_id: p1\r\n\r\nremove\r\ncall_id: p2\r\n\r\nrem");
    Request request;
    REQUIRE(reader.next(request) == Outcome::request);
    CHECK(request.find("call_id") == "p1");
    REQUIRE(reader.next(request) == Outcome::request);
    CHECK(request.find("call_id") == "p2");
    CHECK(reader.next(request) == Outcome::need_more);
    reader.feed("ove\r\n\r\n");
    REQUIRE(reader.next(request) == Outcome::request);
    CHECK(request.command == "remove");
}

TEST_CASE("empty lines between requests mean nothing")
{
    RequestReader reader(RequestReader::Kind::proxy);
    Request request;
    reader.feed("\r\n\r\n\r\n");
    CHECK(reader.next(request) == Outcome::need_more);
    reader.feed(update);
    CHECK(reader.next(request) == Outcome::request);
}

TEST_CASE("the last of two headers of one name counts")
{
    RequestReader reader(RequestReader::Kind::proxy);
    reader.feed("remove\r\ncall_id: x\r\ncall_id: y\r\n\r\n");
    Request request;
    REQUIRE(reader.next(request) == Outcome::request);
    CHECK(request.find("call_id") == "y");
    CHECK(request.find("nothing").empty());
}

TEST_CASE("one unreadable request is one malformed request, and the next is read")
{
    for (const std::string bad :
         {"update\r\nfoo\r\ncall_id: x\r\n\r\n", "update\r\ncall_id:x\r\n\r\n", "two words\r\n\r\n",
          "remove\r\ncall_id: \xff\xfe\r\n\r\n", "remove\ncall_id: x\n\n\r\n\r\n",
          "update\r\n: x\r\n\r\n"}) {
        RequestReader reader(RequestReader::Kind::proxy);
        reader.feed(bad + update);
        Request request;
        INFO(bad);
        CHECK(reader.next(request) == Outcome::malformed);
        CHECK_FALSE(reader.error().empty());
        CHECK(reader.next(request) == Outcome::request);
    }
}

TEST_CASE("a request or a line that is too long is skipped, with bounded memory")
{
    RequestReader reader(RequestReader::Kind::proxy, {100, 1000});
    Request request;
    reader.feed("update\r\nuser_agent: " + std::string(200, 'x') + "\r\n\r\n" + update);
    CHECK(reader.next(request) == Outcome::malformed);
    CHECK(reader.next(request) == Outcome::request);

    reader.feed("update\r\n" + std::string(1500, 'x'));
    CHECK(reader.next(request) == Outcome::need_more);
    reader.feed("\r\n\r\n" + update);
    CHECK(reader.next(request) == Outcome::malformed);
    CHECK(reader.next(request) == Outcome::request);
}

TEST_CASE("who never ends a request is hopeless")
{
    RequestReader reader(RequestReader::Kind::proxy, {100, 1000});
    Request request;
    Outcome outcome = Outcome::need_more;
    for (int i = 0; i < 50 && outcome == Outcome::need_more; ++i) {
        reader.feed(std::string(100, 'x'));
        outcome = reader.next(request);
    }
    CHECK(outcome == Outcome::hopeless);
}

TEST_CASE("between dispatcher and relay a request has a number")
{
    RequestReader reader(RequestReader::Kind::relay);
    reader.feed(
        "sessions 0\r\n\r\nupdate 18446744073709551615\r\ntype: reply\r\n\r\nsummary\r\n\r\n"
        "summary -1\r\n\r\nsummary 3 4\r\n\r\n");
    Request request;
    REQUIRE(reader.next(request) == Outcome::request);
    CHECK((request.command == "sessions" && request.seq == 0U));
    REQUIRE(reader.next(request) == Outcome::request);
    CHECK(request.seq == 18446744073709551615ULL);
    for (int i = 0; i < 3; ++i)
        CHECK(reader.next(request) == Outcome::malformed);
}

TEST_CASE("a request is written as it is read")
{
    std::string out;
    format_request(out, "update", 3, {{"type", "request"}, {"call_id", "x"}});
    CHECK(out == "update 3\r\ntype: request\r\ncall_id: x\r\n\r\n");
}

TEST_CASE("lines end with CRLF or LF")
{
    LineReader reader(10);
    std::string_view line;
    reader.feed("one\r\ntwo\nthr");
    REQUIRE(reader.next(line) == LineReader::Outcome::line);
    CHECK(line == "one");
    REQUIRE(reader.next(line) == LineReader::Outcome::line);
    CHECK(line == "two");
    CHECK(reader.next(line) == LineReader::Outcome::need_more);
    reader.feed("ee\r\n");
    REQUIRE(reader.next(line) == LineReader::Outcome::line);
    CHECK(line == "three");
}

TEST_CASE("a line that is too long is reported once and skipped")
{
    LineReader reader(10);
    std::string_view line;
    reader.feed("0123456789ab\r\nok\r\n");
    CHECK(reader.next(line) == LineReader::Outcome::too_long);
    CHECK(line == "0123456789ab");
    REQUIRE(reader.next(line) == LineReader::Outcome::line);
    CHECK(line == "ok");
    int reports = 0;
    for (int i = 0; i < 20; ++i) {
        reader.feed("0123456789");
        if (reader.next(line) != LineReader::Outcome::too_long)
            continue;
        CHECK(line == "01234567890123456789");
        ++reports;
    }
    CHECK(reports == 1);
    reader.feed("\nok\n");
    REQUIRE(reader.next(line) == LineReader::Outcome::line);
    CHECK(line == "ok");
}
