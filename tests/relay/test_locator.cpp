// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <optional>

#include "base/log.hpp"
#include "loop.hpp"
#include "name_server.hpp"
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

namespace
{

struct Named {
    explicit Named(const std::string& domain)
    {
        auto resolver = Resolver::create(io, names.address());
        REQUIRE(resolver);
        locator.emplace(io, std::vector<Options::Dispatcher>{{domain, 4000}}, Seconds{1},
                        *std::move(resolver));
    }
    void start()
    {
        locator->start([this](const auto& all) {
            targets.clear();
            for (const auto& target : all)
                targets.push_back(target.name + " " + target.endpoint.to_string());
        });
    }
    bool wait(const std::vector<std::string>& wanted)
    {
        const bool came = test::run_until(
            io, [&] { return targets == wanted; }, Seconds(5));
        CHECK(targets == wanted);
        return came;
    }
    asio::io_context io;
    test::NameServer names{io};
    std::optional<DispatcherLocator> locator;
    std::vector<std::string> targets;
};

const net::Address one = *net::Address::parse("192.0.2.1"), two = *net::Address::parse("192.0.2.2");

} // namespace

TEST_CASE("a domain is found by its SRV record: the targets' hosts, our port; and looked up again")
{
    Named f("example.test");
    f.names.services["_sip._udp.example.test"] = {"d1.example.test", "d2.example.test"};
    f.names.addresses["d1.example.test"] = {one};
    f.names.addresses["d2.example.test"] = {two};
    f.start();
    REQUIRE(f.wait({"d1.example.test:4000 192.0.2.1:4000", "d2.example.test:4000 192.0.2.2:4000"}));

    INFO("one is taken away, the other has more addresses: the one in use stays");
    f.names.services["_sip._udp.example.test"] = {"d2.example.test"};
    f.names.addresses["d2.example.test"] = {one, two};
    REQUIRE(f.wait({"d2.example.test:4000 192.0.2.2:4000"}));

    INFO("both are the same: one connection is enough");
    f.names.services["_sip._udp.example.test"] = {"d2.example.test", "d1.example.test"};
    f.names.addresses["d1.example.test"] = {two};
    f.names.addresses["d2.example.test"] = {two};
    const int before = f.names.questions;
    REQUIRE(test::run_until(f.io, [&] { return f.names.questions > before + 10; }));
    CHECK(f.targets == std::vector<std::string>{"d2.example.test:4000 192.0.2.2:4000"});
    f.names.services["_sip._udp.example.test"] = {"d2.example.test"};

    INFO("it moves");
    f.names.addresses["d2.example.test"] = {one};
    REQUIRE(f.wait({"d2.example.test:4000 192.0.2.1:4000"}));
}

TEST_CASE("a name without an SRV record is a host, and a broken name server takes nobody away")
{
    Named f("host.example.test");
    f.names.addresses["host.example.test"] = {one};
    f.start();
    const std::vector<std::string> wanted{"host.example.test:4000 192.0.2.1:4000"};
    REQUIRE(f.wait(wanted));
    std::vector<std::string> warnings;
    log::set_sink([&](log::Level, std::string_view line) { warnings.emplace_back(line); });
    f.names.broken = true;
    CHECK(test::run_until(f.io, [&] { return !warnings.empty(); }));
    log::set_sink([](log::Level, std::string_view) {});
    CHECK(f.targets == wanted);
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
