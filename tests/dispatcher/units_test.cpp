// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "dispatcher/hints.hpp"
#include "dispatcher/json_text.hpp"
#include "dispatcher/owned_request.hpp"
#include "dispatcher/receipts.hpp"
#include "dispatcher/refusals.hpp"
#include "dispatcher/relay_pool.hpp"
#include "dispatcher/saved_state.hpp"
#include "dispatcher/session_directory.hpp"
#include "fakes.hpp"

using namespace mediaproxy;
using namespace mediaproxy::dispatcher;

namespace
{

Now at(int seconds)
{
    return {TimePoint(Seconds{seconds}), WallTime(Seconds{1'700'000'000 + seconds})};
}

Session session_of(const std::string& call_id, const std::string& from_tag, RelayId relay = 0)
{
    Session session;
    session.call_id = call_id;
    session.from_tag = from_tag;
    session.relay = relay;
    return session;
}

protocol::Update reply(std::string_view call_id, std::string_view from_tag, std::uint32_t cseq,
                       std::string_view to_tag = "t")
{
    protocol::Update update;
    update.type = protocol::MessageType::reply;
    update.call_id = call_id;
    update.from_tag = from_tag;
    update.to_tag = to_tag;
    update.cseq = cseq;
    return update;
}

} // namespace

TEST_CASE("the directory finds a session by either tag of a message")
{
    SessionDirectory directory;
    directory.add(session_of("c", "a"));
    directory.add(session_of("c", "b"));
    directory.add(session_of("other", "a"));
    CHECK(directory.find("c", "a", "x")->from_tag == "a");
    CHECK(directory.find("c", "x", "b")->from_tag == "b");
    CHECK(directory.find("c", "b", "a")->from_tag == "b");
    CHECK(directory.find("c", "x", "y") == nullptr);
    CHECK(directory.find("nosuch", "a", "b") == nullptr);
    CHECK(directory.active_count() == 3);
    directory.erase(*directory.find("c", "a", ""));
    CHECK(directory.find("c", "a", "") == nullptr);
    CHECK(directory.find("c", "b", "") != nullptr);
}

TEST_CASE("the directory counts per relay and gives up expired sessions, oldest first")
{
    SessionDirectory directory;
    Session& first = directory.add(session_of("1", "a", 0));
    Session& second = directory.add(session_of("2", "a", 3));
    directory.add(session_of("3", "a", 3));
    CHECK(directory.active_count(3) == 2);
    CHECK(directory.relay_of("2") == 3);
    directory.set_state(second, Session::State::expired, at(10));
    directory.set_state(first, Session::State::expired, at(20));
    CHECK(directory.active_count(3) == 1);
    CHECK_FALSE(directory.relay_of("2"));
    CHECK(directory.oldest_expired_before(at(9).wall) == nullptr);
    REQUIRE(directory.oldest_expired_before(at(30).wall) == &second);
    directory.erase(second);
    REQUIRE(directory.oldest_expired_before(at(30).wall) == &first);
    directory.erase(first);
    CHECK(directory.oldest_expired_before(at(30).wall) == nullptr);
}

TEST_CASE("updates tell who is who, and when the call was answered")
{
    protocol::Update offer = reply("c", "f", 7, "");
    offer.type = protocol::MessageType::request;
    offer.has_media = true;
    offer.user_agent = "Alice";
    offer.dialog_id = "1:2";
    Session session = make_session(offer, 0, at(0));
    CHECK(session.caller_ua == "Alice");
    CHECK_FALSE(session.start_time);
    protocol::Update answer = reply("c", "f", 7);
    answer.has_media = true;
    answer.user_agent = "Bob";
    CHECK(apply_update(session, answer, at(5)));
    CHECK(session.callee_ua == "Bob");
    CHECK(session.to_tag == "t");
    CHECK(session.start_time == Approx(1'700'000'005));
    CHECK_FALSE(apply_update(session, answer, at(6)));
    protocol::Update by_callee = reply("c", "t", 1, "f");
    by_callee.type = protocol::MessageType::request;
    CHECK(apply_update(session, by_callee, at(7)));
    CHECK(session.caller_cseq == 7);
    CHECK(session.callee_cseq == 1);
    const auto lost = make_lost_report(session, at(65));
    CHECK(lost.duration == 60);
    CHECK(lost.lost);
}

TEST_CASE("refused requests are remembered for 300 s, removed sessions for 32 s")
{
    Refusals refusals;
    refusals.on_refused("c", "f", 3, at(0).mono);
    CHECK(refusals.answers_refused(reply("c", "f", 3), at(299).mono));
    CHECK_FALSE(refusals.answers_refused(reply("c", "f", 4), at(1).mono));
    CHECK_FALSE(refusals.answers_refused(reply("c", "g", 3), at(1).mono));
    CHECK_FALSE(refusals.answers_refused(reply("c", "f", 3), at(300).mono));

    refusals.on_refused("c", "f", 3, at(301).mono);
    refusals.on_accepted("c", "f", 3, at(302).mono);
    CHECK_FALSE(refusals.answers_refused(reply("c", "f", 3), at(303).mono));
    refusals.age(at(1000).mono);
    CHECK(refusals.size() == 0);

    Session session = session_of("r", "f");
    session.caller_cseq = 10;
    session.callee_cseq = 2;
    refusals.on_removed(session, at(0).mono);
    CHECK(refusals.answers_removed(reply("r", "f", 10), at(31).mono));
    CHECK_FALSE(refusals.answers_removed(reply("r", "f", 11), at(31).mono));
    CHECK(refusals.answers_removed(reply("r", "t", 2, "f"), at(31).mono));
    CHECK_FALSE(refusals.answers_removed(reply("r", "t", 3, "f"), at(31).mono));
    CHECK_FALSE(refusals.answers_removed(reply("r", "f", 10), at(32).mono));
}

TEST_CASE("the memory of what is gone is bounded by its time, whatever the rate")
{
    AgingMap<int> map(Seconds{30});
    for (int second = 0; second < 300; ++second) {
        for (std::uint64_t i = 0; i < 100; ++i)
            map.put(static_cast<std::uint64_t>(second) * 100 + i, second, at(second).mono);
        CHECK(map.size() <= 4100);
        const auto old = static_cast<std::uint64_t>(std::max(0, second - 29)) * 100;
        REQUIRE(map.find(old, at(second).mono));
        CHECK(*map.find(old, at(second).mono) == std::max(0, second - 29));
        if (second >= 30)
            CHECK_FALSE(map.find(static_cast<std::uint64_t>(second - 30) * 100, at(second).mono));
    }
    map.put(5, 1, at(300).mono);
    map.put(5, 2, at(301).mono);
    CHECK(*map.find(5, at(302).mono) == 2);
    map.age(at(10000).mono);
    CHECK(map.size() == 0);
}

TEST_CASE("the pool chooses: active, of the family, preferred first")
{
    SessionDirectory directory;
    RelayPool pool(RelayPool::Balancing::round_robin, directory);
    FakePeer a("a"), b("b"), c("c");
    for (FakePeer* const peer : {&a, &b, &c})
        pool.add(*peer, at(0).mono);
    std::vector<RelayId> chosen;
    pool.choose("c", net::Family::v4, chosen);
    REQUIRE(chosen.size() == 3);
    CHECK(chosen[0] == *pool.find("c"));
    b.state_ = RelayPeer::State::halting;
    pool.choose("b", net::Family::v4, chosen);
    CHECK(chosen.size() == 2);
    a.serves_v6 = true;
    pool.choose("", net::Family::v6, chosen);
    CHECK(chosen == std::vector<RelayId>{*pool.find("a")});
    pool.remove(a, at(9).mono);
    CHECK(pool.away_since(*pool.find("a")) == at(9).mono);
    CHECK_FALSE(pool.away_since(*pool.find("c")));
    pool.choose("", net::Family::v6, chosen);
    CHECK(chosen.empty());
    CHECK(pool.connected().size() == 2);
}

TEST_CASE("acknowledgements to a relay wait for each other")
{
    asio::io_context io;
    SessionDirectory directory;
    RelayPool pool(RelayPool::Balancing::round_robin, directory);
    FakePeer a("a"), b("b");
    const RelayId to_a = pool.add(a, at(0).mono), to_b = pool.add(b, at(0).mono);
    Receipts receipts(io, pool, nullptr, std::chrono::hours{1});
    receipts.acknowledge(to_a, "id-1");
    io.poll();
    receipts.acknowledge(to_b, "id-2");
    receipts.acknowledge(to_a, "id-3");
    io.poll();
    CHECK(a.acknowledgements + b.acknowledgements == 0);
    receipts.send_now();
    CHECK(a.acknowledgements == 1);
    CHECK(a.acknowledged == std::vector<std::string>{"id-1", "id-3"});
    CHECK(b.acknowledged == std::vector<std::string>{"id-2"});

    INFO("and the next ones as well");
    receipts.acknowledge(to_a, "id-4");
    io.poll();
    CHECK(a.acknowledgements == 1);
    receipts.send_now();
    CHECK(a.acknowledgements == 2);
}

TEST_CASE("a saved session comes back as it was")
{
    Session session = session_of("c:1\r\n5:x", "f");
    session.to_tag = "t";
    session.from_uri = std::string("a\0b", 3);
    session.dialog_id = "1:2";
    session.caller_cseq = 4294967295U;
    session.callee_cseq = 3;
    session.start_time = 1795364484.8828304;
    session.created = at(3).wall;
    session.offered_by_caller = false;
    session.answered = true;
    const std::string text = encode_session(session, "relay-7");
    const auto back = decode_session(text);
    REQUIRE(back);
    CHECK(back->relay == "relay-7");
    CHECK(back->session.call_id == session.call_id);
    CHECK(back->session.from_uri == session.from_uri);
    CHECK(back->session.caller_cseq == session.caller_cseq);
    CHECK(back->session.start_time == session.start_time);
    CHECK(back->session.created == session.created);
    CHECK_FALSE(back->session.offered_by_caller);
    CHECK(back->session.answered);
    for (std::size_t size = 0; size < text.size(); ++size)
        CHECK_FALSE(decode_session(std::string_view(text).substr(0, size)));
    CHECK_FALSE(decode_session("1:1" + text.substr(3)));
    CHECK_FALSE(decode_session("99999999999999999999:x"));
}

TEST_CASE("hints are found by either tag and go with their relay's next list")
{
    Hints hints;
    hints.add("c", "f", 1);
    hints.add("c", "g", 2);
    CHECK(hints.find("c", "x", "f")->relay == 1);
    CHECK(hints.find("c", "g", "f") != nullptr);
    CHECK(hints.find("d", "f", "f") == nullptr);
    hints.clear(1);
    CHECK(hints.find("c", "f", "") == nullptr);
    hints.erase("c", "g");
    CHECK(hints.size() == 0);
}

TEST_CASE("JSON is cut into elements without being read")
{
    struct Case {
        std::string inside;
        std::vector<std::string> elements;
        bool whole;
    };
    const std::vector<Case> cases = {
        {"]", {}, true},
        {"1, 2 ]", {"1", "2"}, true},
        {R"({"a": "]},{"}, {"b": [1, {"c": "\"}"}]}])",
         {R"({"a": "]},{"})", R"({"b": [1, {"c": "\"}"}]})"},
         true},
        {R"("\\", null, true])", {R"("\\")", "null", "true"}, true},
        {R"({"a": 1)", {}, false},
        {R"("abc)", {}, false},
        {R"("abc\)", {}, false},
        {"1 2]", {}, false},
        {"", {}, false},
    };
    for (const Case& one : cases) {
        INFO(one.inside);
        std::string_view rest = one.inside;
        std::vector<std::string> found;
        while (const auto element = json::next_element(rest))
            found.emplace_back(*element);
        CHECK(found == one.elements);
        CHECK(rest.starts_with(']') == one.whole);
    }
    CHECK(json::member(R"({"x": [1], "sessions" : [{"y": 2}] , "next": 5})", "sessions") ==
          R"([{"y": 2}])");
    CHECK(json::member(R"({"next": 5})", "next") == "5");
    CHECK_FALSE(json::member(R"({"next" 5})", "next"));
    CHECK_FALSE(json::member("[1]", "next"));
    CHECK(json::is_array(" [1] "));
    CHECK_FALSE(json::is_array("[1"));
    CHECK_FALSE(json::is_array("[1] x"));
    CHECK(json::is_object("{}"));
    CHECK_FALSE(json::is_object("error"));
}

TEST_CASE("a request is copied with its text")
{
    OwnedRequest owned;
    {
        std::string text = "update call_id x-y-z";
        protocol::Request request;
        request.command = std::string_view(text).substr(0, 6);
        request.headers.push_back(
            {std::string_view(text).substr(7, 7), std::string_view(text).substr(15)});
        owned.assign(request);
        owned.assign(request);
        text.assign(text.size(), '#');
    }
    CHECK(owned.request().command == "update");
    CHECK(owned.request().find("call_id") == "x-y-z");
}
