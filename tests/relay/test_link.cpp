// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "relay/dispatcher_link.hpp"
#include "scripted_dispatcher.hpp"

using namespace mediaproxy;
using namespace mediaproxy::relay;

namespace
{

/// A relay that answers without thinking.
struct FakeRelay : RelayRequests {
    Result<protocol::Ports> update(const protocol::Update& update, session::OwnerId owner) override
    {
        last_owner = owner;
        last_call = update.call_id;
        if (halting)
            return Error{Error::Code::unavailable, "halting"};
        return protocol::Ports{*net::Address::parse("192.0.2.1"), {40000, 0, 40004}};
    }
    Result<Removed> remove(const protocol::Remove& remove) override
    {
        if (remove.call_id != "known")
            return Error{Error::Code::not_found, "no such session"};
        Removed removed;
        removed.report.call_id = remove.call_id;
        removed.report.from_tag = remove.from_tag;
        removed.report.record_id = "r-known";
        removed.report.start_time = start_time;
        removed.ended = ended;
        return removed;
    }
    void on_letters() override { ++letters_put; }
    protocol::RelaySummary summary() const override { return {"192.0.2.1", "1", "active"}; }
    std::uint64_t list(std::uint64_t after, std::size_t most, const EachReport& each) const override
    {
        std::uint64_t number = after;
        for (std::size_t i = 0; i < most && number < sessions; ++i) {
            protocol::SessionReport report;
            report.call_id = "call" + std::to_string(++number);
            report.from_tag = "f";
            each(owner_of_sessions, report);
        }
        return number < sessions ? number : 0;
    }
    void refresh(std::function<void()> done) override { done(); }
    std::string hello() const override { return "{\"name\": \"r1\"}"; }

    session::OwnerId last_owner = 0, owner_of_sessions = 0;
    std::string last_call;
    bool halting = false, ended = true;
    std::optional<double> start_time = 1000.5;
    int letters_put = 0;
    std::uint64_t sessions = 0;
};

struct Fixture {
    explicit Fixture(DispatcherLink::Settings wanted = {},
                     Milliseconds reconnect_delay = Milliseconds{20})
    {
        wanted.reconnect_delay = reconnect_delay;
        wanted.hello_patience = Milliseconds{20};
        settings = wanted;
        link.emplace(io, "disp:25060", dispatcher.endpoint(), settings, relay, owners);
        link->start();
        REQUIRE(dispatcher.wait_connection(1));
        CHECK(dispatcher.wait_line("hello ") == "hello {\"name\": \"r1\"}");
    }
    /// All that was told has arrived.
    bool nothing_is_left()
    {
        return test::run_until(io, [&] { return owners.letter_count() == 0; });
    }
    asio::io_context io;
    test::ScriptedDispatcher dispatcher{io};
    FakeRelay relay;
    Owners owners;
    DispatcherLink::Settings settings;
    std::optional<DispatcherLink> link;
};

constexpr std::string_view update_headers =
    "type: request\r\ncall_id: c1\r\ncseq: 1\r\nfrom_uri: a@x\r\nto_uri: b@x\r\n"
    "from_tag: f\r\nmedia: audio:192.0.2.9:5000:sendrecv:ice=no\r\n\r\n";

} // namespace

TEST_CASE("requests of a 4.x dispatcher get their answers")
{
    Fixture f;
    f.dispatcher.say("sessions 0\r\n\r\n");
    CHECK(f.dispatcher.wait_line("0 ") == "0 []");
    f.dispatcher.say("update 1\r\n" + std::string(update_headers));
    CHECK(f.dispatcher.wait_line("1 ") == "1 192.0.2.1 40000 0 40004");
    CHECK(f.relay.last_call == "c1");
    CHECK(f.relay.last_owner == f.link->address_owner());
    CHECK(f.owners.name(f.relay.last_owner) == "disp:25060");
    f.dispatcher.say("remove 2\r\ncall_id: known\r\nfrom_tag: f\r\n\r\n");
    CHECK(f.dispatcher.wait_line("2 ")->starts_with("2 {\"call_id\": \"known\""));
    INFO("who acknowledges nothing has nothing kept for it");
    CHECK(f.owners.letter_count() == 0);
    f.dispatcher.say("remove 3\r\ncall_id: unknown\r\nfrom_tag: f\r\n\r\n");
    CHECK(f.dispatcher.wait_line("3 ") == "3 error");
    f.dispatcher.say("summary 4\r\n\r\n");
    CHECK(f.dispatcher.wait_line("4 ")->find("\"status\": \"active\"") != std::string::npos);
    f.relay.halting = true;
    f.dispatcher.say("update 5\r\n" + std::string(update_headers));
    CHECK(f.dispatcher.wait_line("5 ") == "5 halting");
}

TEST_CASE("what the relay cannot read is answered error and harms nothing else")
{
    Fixture f;
    f.dispatcher.say("sing 7\r\nloud: yes\r\n\r\n"
                     "update 8\r\ntype: request\r\n\r\n"
                     "update 9\r\nno header\r\n\r\n"
                     "rubbish\r\n\r\n"
                     "update x\r\n\r\n"
                     "\xff\xfe\r\n\r\n"
                     "remove 10\r\n\r\n");
    f.dispatcher.say("sum");
    f.dispatcher.say("mary 11\r\n\r\n");
    for (const char* line : {"7 error", "8 error", "9 error", "10 error"})
        CHECK(f.dispatcher.wait_line(line));
    CHECK(f.dispatcher.wait_line("11 {"));
    CHECK(f.dispatcher.connections == 1);
}

TEST_CASE("a dispatcher that never ends its request is left and visited again")
{
    Fixture f;
    f.dispatcher.say("update 1\r\n");
    const std::string piece(1U << 20, 'x');
    for (int i = 0; i < 40 && f.dispatcher.connections == 1; ++i) {
        f.dispatcher.say(piece);
        f.io.run_for(Milliseconds(1));
    }
    CHECK(f.dispatcher.wait_connection(2));
}

TEST_CASE("the relay pings, and leaves a dispatcher that does not answer three in a row")
{
    DispatcherLink::Settings settings;
    settings.keepalive_interval = Milliseconds{30};
    Fixture f(settings);
    for (int i = 0; i < 5; ++i) {
        REQUIRE(f.dispatcher.wait_line("ping"));
        f.dispatcher.say("pong\r\n");
    }
    CHECK(f.dispatcher.connections == 1);
    CHECK(f.dispatcher.wait_line("ping"));
    CHECK(f.dispatcher.wait_line("ping"));
    CHECK(f.dispatcher.wait_connection(2));
}

TEST_CASE("a lost connection comes back")
{
    Fixture f;
    for (int i = 2; i < 5; ++i) {
        f.dispatcher.hang_up();
        REQUIRE(f.dispatcher.wait_connection(i));
    }
    f.dispatcher.say("sessions 0\r\n\r\n");
    CHECK(f.dispatcher.wait_line("hello"));
    CHECK(f.dispatcher.wait_line("0 []"));
}

TEST_CASE("a good connection that is lost comes back without waiting for reconnect_delay")
{
    Fixture f({}, std::chrono::hours(1));
    f.dispatcher.say("summary 0\r\n\r\n");
    REQUIRE(f.dispatcher.wait_line("0 "));
    f.dispatcher.hang_up();
    CHECK(f.dispatcher.wait_connection(2));
}

TEST_CASE("a 4.x dispatcher hears of an ended session once, and before the list that lacks it")
{
    Fixture f;
    f.owners.put(f.link->owner(), "r1", "{one}");
    f.link->send_letters();
    f.io.run_for(Milliseconds(20));
    INFO("not before it asked something: it might be one of ours");
    CHECK(f.dispatcher.lines.empty());
    f.dispatcher.say("sessions 0\r\n\r\n");
    REQUIRE(f.dispatcher.wait_line("0 []"));
    CHECK(f.dispatcher.lines == std::vector<std::string>{"expired {one}"});
    f.dispatcher.lines.clear();
    f.owners.put(f.link->owner(), "r2", "{two}");
    f.link->send_letters();
    CHECK(f.dispatcher.wait_line("expired") == "expired {two}");
    REQUIRE(f.nothing_is_left());
    f.dispatcher.hang_up();
    REQUIRE(test::run_until(f.io, [&] { return !f.link->is_open(); }));
    f.owners.put(f.link->owner(), "r3", "{three}");
    f.link->send_letters();
    REQUIRE(f.dispatcher.wait_connection(2));
    f.dispatcher.say("sessions 0\r\n\r\n");
    CHECK(f.dispatcher.wait_line("expired") == "expired {three}");
    REQUIRE(f.dispatcher.wait_line("0 []"));
    CHECK(f.nothing_is_left());
    CHECK(f.link->told_all());
}

TEST_CASE("what was on its way to a 4.x dispatcher when the connection broke is told again")
{
    Fixture f;
    f.dispatcher.say("sessions 0\r\n\r\n");
    REQUIRE(f.dispatcher.wait_line("0 []"));
    f.dispatcher.hang_up();
    REQUIRE(f.link->is_open());
    f.owners.put(f.link->owner(), "r1", "{one}");
    f.owners.put(f.link->owner(), "r2", "{two}");
    f.link->send_letters();
    CHECK_FALSE(f.link->told_all());
    REQUIRE(f.dispatcher.wait_connection(2));
    f.dispatcher.say("sessions 0\r\n\r\n");
    CHECK(f.dispatcher.wait_line("expired") == "expired {one}");
    CHECK(f.dispatcher.wait_line("expired") == "expired {two}");
    CHECK(f.nothing_is_left());
}

TEST_CASE("a relay that a dispatcher turns away leaves it alone for reconnect_delay")
{
    Fixture f({}, Seconds{3});
    f.dispatcher.say("sessions 0\r\n\r\nhello 0\r\nname: main\r\n\r\n");
    REQUIRE(f.dispatcher.wait_line("0 []"));
    f.dispatcher.hang_up();
    INFO("one whose connection was in use is back after a second");
    CHECK_FALSE(test::run_until(
        f.io, [&] { return f.dispatcher.connections > 1; }, Milliseconds{1500}));
}

TEST_CASE("a dispatcher of ours is known by its name and acknowledges ended sessions")
{
    Fixture f;
    f.owners.put(f.link->owner(), "r1", "{one}");
    f.dispatcher.say("hello 0\r\nname: main\r\nversion: 1\r\n\r\n");
    CHECK(f.dispatcher.wait_line("0 ") == "0 {\"name\": \"r1\"}");
    CHECK(f.dispatcher.wait_line("expired") == "expired {one}");
    CHECK(f.owners.name(f.link->owner()) == "main");
    f.owners.put(f.link->owner(), "r2", "{two}");
    f.link->send_letters();
    CHECK(f.dispatcher.wait_line("expired") == "expired {two}");
    f.dispatcher.say("acknowledge 1\r\nrecord_id: r1\r\n\r\n");
    CHECK(f.dispatcher.wait_line("1 ") == "1 acknowledged");
    f.dispatcher.hang_up();
    REQUIRE(f.dispatcher.wait_connection(2));
    f.dispatcher.say("hello 0\r\nname: main\r\nversion: 1\r\n\r\n");
    CHECK(f.dispatcher.wait_line("expired") == "expired {two}");
    f.dispatcher.say("acknowledge 1\r\nrecord_id: r2\r\n\r\n");
    CHECK(f.dispatcher.wait_line("1 ") == "1 acknowledged");
    CHECK(f.owners.letter_count() == 0);
    CHECK(f.link->told_all());
}

namespace
{

constexpr std::string_view hello_of_keeper =
    "hello 0\r\nname: main\r\nfeatures: acknowledge,keep-removed\r\n\r\n";
constexpr std::string_view remove_known = "remove 1\r\ncall_id: known\r\nfrom_tag: f\r\n\r\n";

} // namespace

TEST_CASE("the answer to a removal is kept until its record is durable")
{
    Fixture f;
    f.dispatcher.say(hello_of_keeper);
    REQUIRE(f.dispatcher.wait_line("0 "));
    f.dispatcher.say(remove_known);
    const auto answer = f.dispatcher.wait_line("1 ");
    REQUIRE(answer);
    INFO("the answer is what 4.x gives, and comes once");
    CHECK(answer->find("timed_out") == std::string::npos);
    CHECK(f.owners.letter_count() == 1);
    CHECK(f.relay.letters_put == 1);
    f.link->send_letters();
    f.dispatcher.say("letters 5\r\n\r\n");
    CHECK(f.dispatcher.wait_line("5 ") == "5 0");
    CHECK(f.dispatcher.lines.empty());

    SECTION("it is acknowledged")
    {
        f.dispatcher.say("acknowledge 2\r\nrecord_id: other r-known\r\n\r\n");
        CHECK(f.dispatcher.wait_line("2 ") == "2 acknowledged");
        CHECK(f.owners.letter_count() == 0);
    }
    SECTION("the connection is lost: it comes again, and says that nothing timed out")
    {
        f.dispatcher.hang_up();
        REQUIRE(f.dispatcher.wait_connection(2));
        f.dispatcher.say(hello_of_keeper);
        const auto again = f.dispatcher.wait_line("expired ");
        REQUIRE(again);
        const auto report = protocol::parse_report(
            std::string_view(*again).substr(std::string_view("expired ").size()));
        REQUIRE(report);
        CHECK(report->timed_out == false);
        CHECK(report->record_id == "r-known");
    }
}

TEST_CASE("of a removal that is no record nothing is kept")
{
    Fixture f;
    SECTION("the session was never answered")
    {
        f.relay.start_time.reset();
    }
    SECTION("a late fork was forgotten, the session lives")
    {
        f.relay.ended = false;
    }
    f.dispatcher.say(hello_of_keeper);
    f.dispatcher.say(remove_known);
    REQUIRE(f.dispatcher.wait_line("1 "));
    CHECK(f.owners.letter_count() == 0);
}

TEST_CASE("a dispatcher of ours that is older hears of an answered removal once")
{
    Fixture f;
    f.dispatcher.say("hello 0\r\nname: main\r\nfeatures: acknowledge,owners\r\n\r\n");
    f.dispatcher.say(remove_known);
    REQUIRE(f.dispatcher.wait_line("1 "));
    CHECK(f.owners.letter_count() == 0);
}

TEST_CASE("the relay says how many letters it has not sent")
{
    Fixture f;
    for (int i = 0; i < 1030; ++i)
        f.owners.put(f.link->owner(), "r" + std::to_string(i), "{" + std::to_string(i) + "}");
    f.dispatcher.say(hello_of_keeper);
    REQUIRE(f.dispatcher.wait_line("0 "));
    f.dispatcher.say("letters 1\r\n\r\n");
    REQUIRE(f.dispatcher.wait_line("1 ") == "1 6");
    INFO("all the others were said before that answer");
    CHECK(f.dispatcher.lines.back() == "expired {1023}");
    f.dispatcher.say("acknowledge 2\r\nrecord_id: r0 r1 r2 r3 r4 r5\r\n\r\n"
                     "letters 3\r\n\r\n");
    CHECK(f.dispatcher.wait_line("3 ") == "3 0");
    CHECK(std::count(f.dispatcher.lines.begin(), f.dispatcher.lines.end(), "expired {1029}") == 1);
}

TEST_CASE("a dispatcher of ours may ask before it says hello")
{
    Fixture f;
    f.relay.sessions = 3;
    f.owners.put(f.link->owner(), "r1", "{one}");
    f.dispatcher.say("sessions 0\r\n\r\nupdate 1\r\n" + std::string(update_headers));
    REQUIRE(f.dispatcher.wait_line("1 192.0.2.1"));
    const auto before = f.relay.last_owner;
    f.dispatcher.say("hello 2\r\nname: main\r\n\r\n");
    REQUIRE(f.dispatcher.wait_line("2 "));
    CHECK(f.dispatcher.wait_line("0 ") == "0 []");
    CHECK(f.dispatcher.wait_line("expired") == "expired {one}");
    CHECK(f.owners.letter_count() == 1);
    CHECK(f.owners.name(before) == "main");
}

TEST_CASE("a long list to a dispatcher of ours comes in pages that say whose each session is")
{
    Fixture f;
    f.relay.sessions = 250;
    f.relay.owner_of_sessions = f.owners.id_of("another");
    f.dispatcher.say("hello 0\r\nname: main\r\n\r\n");
    f.dispatcher.say("sessions 1\r\nmost: 2\r\n\r\n");
    const auto page = f.dispatcher.wait_line("1 ");
    REQUIRE(page);
    CHECK(page->starts_with("1 {\"sessions\": [{\"call_id\": \"call1\""));
    CHECK(page->find("\"owner\": \"another\"}, {") != std::string::npos);
    CHECK(page->ends_with("}], \"next\": 2}"));
    f.dispatcher.say("sessions 2\r\nafter: 249\r\nmost: 10\r\n\r\n");
    const auto last = f.dispatcher.wait_line("2 ");
    REQUIRE(last);
    CHECK(last->find("call250") != std::string::npos);
    CHECK(last->ends_with("}], \"next\": 0}"));
}

TEST_CASE("a 4.x dispatcher gets as much of a long list as it takes in one line")
{
    DispatcherLink::Settings settings;
    settings.longest_answer = 20000;
    Fixture f(settings);
    f.relay.sessions = 250;
    f.dispatcher.say("sessions 0\r\n\r\n");
    const auto list = f.dispatcher.wait_line("0 ");
    REQUIRE(list);
    CHECK(list->size() <= 20000);
    CHECK(list->size() > 19000);
    const auto reports = protocol::parse_reports(std::string_view(*list).substr(2));
    if (!reports)
        FAIL(reports.error().message);
    CHECK(reports->size() > 20);
    CHECK(list->find("owner") == std::string::npos);
}
