// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "loop.hpp"
#include "relay/dispatcher_locator.hpp"

using namespace mediaproxy;
using namespace mediaproxy::relay;

TEST_CASE("addresses are dispatchers as they stand, each once")
{
    asio::io_context io;
    const std::vector<Options::Dispatcher> dispatchers{
        {"192.0.2.1", 25060}, {"2001:db8::1", 4000}, {"192.0.2.1", 25060}};
    CHECK_FALSE(DispatcherLocator::needs_resolver(dispatchers));
    DispatcherLocator locator(io, dispatchers, Seconds{60}, nullptr);
    std::vector<DispatcherTarget> targets;
    locator.start([&](const auto& all) { targets = all; });
    REQUIRE(targets.size() == 2);
    CHECK(targets[0].name == "192.0.2.1:25060");
    CHECK(targets[0].endpoint == net::Endpoint{*net::Address::parse("192.0.2.1"), 25060});
    CHECK(targets[1].endpoint == net::Endpoint{*net::Address::parse("2001:db8::1"), 4000});
}

TEST_CASE("a host name is looked up without holding up the loop")
{
    asio::io_context io;
    const std::vector<Options::Dispatcher> dispatchers{{"localhost", 25060}};
    CHECK(DispatcherLocator::needs_resolver(dispatchers));
    auto resolver = Resolver::create(io);
    REQUIRE(resolver);
    DispatcherLocator locator(io, dispatchers, Seconds{60}, *std::move(resolver));
    std::vector<DispatcherTarget> targets;
    int told = 0;
    locator.start([&](const auto& all) {
        targets = all;
        ++told;
    });
    REQUIRE(test::run_until(io, [&] { return !targets.empty(); }));
    REQUIRE(targets.size() == 1);
    CHECK(targets[0].name == "localhost:25060");
    CHECK(targets[0].endpoint.address.is_loopback());
    CHECK(told == 2);
}

TEST_CASE("a locator may go while it is looking something up")
{
    asio::io_context io;
    auto resolver = Resolver::create(io);
    REQUIRE(resolver);
    {
        DispatcherLocator locator(io, {{"nowhere.invalid", 25060}}, Seconds{60},
                                  *std::move(resolver));
        locator.start([](const auto&) {});
        io.poll();
    }
    io.restart();
    io.run_for(Milliseconds(20));
}
