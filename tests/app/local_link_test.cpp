// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/local_link.hpp"

#include <catch2/catch.hpp>
#include <optional>
#include <utility>

using namespace mediaproxy;

namespace
{

/// A relay on loopback and the link to it.
struct House {
    House()
    {
        relay::Options options;
        options.name = "here";
        options.relay_ip = {net::Address::v4({127, 0, 0, 1})};
        options.routable_private_ranges = {*net::parse_network("127.0.0.0/8")};
        auto made = relay::Relay::create(options, {.io = io, .record_id_prefix = "r-"});
        if (!made)
            FAIL(made.error().message);
        relay = std::move(*made);
        relay->start();
        link.emplace(*relay, "dispatcher",
                     [this](app::LocalLink&, const protocol::SessionReport& report) {
                         expired.push_back(report.call_id);
                         record_ids.push_back(report.record_id);
                     });
    }

    Result<protocol::Ports> update(std::string_view call_id)
    {
        protocol::Update update;
        update.has_media = true;
        update.cseq = 1;
        update.call_id = call_id;
        update.from_tag = "a";
        update.from_uri = "alice@example.com";
        update.to_uri = "bob@example.com";
        update.media.push_back({"audio", *net::parse_endpoint("127.0.0.1:5000")});
        std::optional<Result<protocol::Ports>> answer;
        link->update(protocol::Request{}, update,
                     [&](Result<protocol::Ports> ports) { answer = std::move(ports); });
        REQUIRE(answer);
        return *answer;
    }

    std::size_t listed()
    {
        std::optional<std::size_t> count;
        link->sessions([&](auto reports) { count = reports->size(); });
        while (!count)
            io.run_one_for(Seconds{1});
        return *count;
    }

    asio::io_context io{1};
    std::unique_ptr<relay::Relay> relay;
    std::optional<app::LocalLink> link;
    std::vector<std::string> expired, record_ids;
};

} // namespace

TEST_CASE("the relay of the same process answers at once and is known by name and address")
{
    House house;
    CHECK(house.link->name() == "here");
    CHECK(house.link->is_called("127.0.0.1"));
    CHECK(house.link->is_called("here"));
    CHECK_FALSE(house.link->is_called("127.0.0.2"));
    CHECK(house.link->serves(net::Family::v4));
    CHECK_FALSE(house.link->serves(net::Family::v6));

    const auto ports = house.update("one");
    REQUIRE(ports);
    CHECK(ports->address.to_string() == "127.0.0.1");
    CHECK(ports->rtp.size() == 1);
    CHECK(house.listed() == 1);

    bool removed = false;
    house.link->remove({"one", "a", ""}, [&](auto report) { removed = report.has_value(); });
    CHECK(removed);
    CHECK(house.listed() == 0);
}

TEST_CASE("what is not acknowledged is told again when it is asked for, some at a time")
{
    constexpr std::size_t calls = 300, at_a_time = 256;
    House house;
    for (std::size_t i = 0; i < calls; ++i)
        REQUIRE(house.update(std::to_string(i)));
    house.relay->stop([] {});
    REQUIRE(house.expired.size() == calls);
    house.expired.clear();
    house.record_ids.clear();
    house.link->tell_again();
    CHECK(house.expired.size() == at_a_time);
    for (bool done = false; !done;) {
        const auto record_ids = std::exchange(house.record_ids, {});
        house.link->acknowledge(record_ids, [](bool) {});
        done = house.record_ids.empty();
    }
    CHECK(house.expired.size() == calls);
}

TEST_CASE("a list of sessions comes in pages")
{
    House house;
    for (const char* call : {"one", "two", "three"})
        REQUIRE(house.update(call));
    std::uint64_t next = 0;
    std::size_t count = 0, pages = 0;
    do {
        bool answered = false;
        house.link->session_page(next, 2, [&](auto page) {
            REQUIRE(page);
            const auto reports = protocol::parse_reports(page->sessions);
            REQUIRE(reports);
            count += reports->size();
            next = page->next;
            answered = true;
        });
        while (!answered)
            house.io.run_one_for(Seconds{1});
        ++pages;
    } while (next != 0 && pages < 10);
    CHECK(count == 3);
}

TEST_CASE("a relay that drains refuses new sessions as halting")
{
    House house;
    REQUIRE(house.update("one"));
    house.link->halt();
    bool drained = false;
    house.relay->drain([&] { drained = true; });
    CHECK(house.link->state() == dispatcher::RelayPeer::State::halting);
    const auto refused = house.update("two");
    REQUIRE(!refused);
    CHECK(refused.error().code == Error::Code::denied);
    house.link->remove({"one", "a", ""}, [](auto) {});
    while (!drained)
        REQUIRE(house.io.run_one_for(Seconds{5}) > 0);
}

TEST_CASE("sessions that a stop ends are reported, but not to a link that is gone")
{
    House house;
    REQUIRE(house.update("one"));
    bool stopped = false;
    SECTION("reported")
    {
    }
    SECTION("gone")
    {
        house.link.reset();
    }
    const std::size_t expected = house.link ? 1 : 0;
    house.relay->stop([&] { stopped = true; });
    while (!stopped)
        REQUIRE(house.io.run_one_for(Seconds{5}) > 0);
    CHECK(house.expired.size() == expected);
}
