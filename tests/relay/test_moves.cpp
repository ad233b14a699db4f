// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "base/log.hpp"
#include "call.hpp"
#include "fakes/state_store.hpp"
#include "name_server.hpp"
#include "relay/relay.hpp"
#include "scripted_dispatcher.hpp"

// What a relay does when DNS says that its dispatchers are elsewhere.

using namespace mediaproxy;
using namespace mediaproxy::relay;

namespace
{

struct House {
    House()
    {
        log::set_sink([this](log::Level, std::string_view line) { said.emplace_back(line); });
    }
    ~House()
    {
        log::set_sink([](log::Level, std::string_view) {});
    }

    void start()
    {
        Options options;
        options.name = "r1";
        options.relay_ip = {test::own_loopback()};
        options.routable_private_ranges = {*net::parse_network("127.0.0.0/8")};
        options.dispatchers = {{"disp.example", dispatcher.endpoint().port}};
        options.dns_check_interval = Seconds{1};
        options.reconnect_delay = Seconds{1};
        Relay::Environment environment{.io = io};
        environment.record_id_prefix = "run" + std::to_string(++runs) + "-";
        environment.store = &store;
        environment.name_servers = names.address();
        relay.reset();
        auto created = Relay::create(std::move(options), std::move(environment));
        if (!created)
            FAIL(created.error().message);
        relay = *std::move(created);
        relay->start();
    }
    void stop()
    {
        bool stopped = false;
        relay->stop([&] { stopped = true; });
        REQUIRE(test::run_until(io, [&] { return stopped; }));
    }
    void move_to(std::vector<net::Address> addresses)
    {
        names.addresses["disp.example"] = std::move(addresses);
    }
    /// The domain has these hosts.
    void serve(std::vector<std::string> hosts)
    {
        names.services["_sip._udp.disp.example"] = std::move(hosts);
    }
    bool has_said(const net::Address& address, std::string_view what) const
    {
        const std::string wanted = " at " + address.to_string() + std::string(what);
        return std::any_of(said.begin(), said.end(), [&](const std::string& line) {
            return line.find(wanted) != std::string::npos;
        });
    }
    bool has_added(const net::Address& address) const { return has_said(address, ": added"); }
    /// The relay has given up that address.
    bool has_dropped(const net::Address& address) const { return has_said(address, ": no longer"); }
    bool wait_dropped(const net::Address& address)
    {
        return test::run_until(io, [&] { return has_dropped(address); });
    }

    asio::io_context io;
    std::vector<std::string> said;
    test::NameServer names{io};
    test::ScriptedDispatcher dispatcher{io};
    const net::Address first = dispatcher.endpoint().address;
    const net::Address second = test::own_loopback(7), third = test::own_loopback(8);
    FakeStore store;
    int runs = 0;
    std::unique_ptr<Relay> relay;
};

constexpr std::string_view hello = "hello 0\r\nname: disp\r\nfeatures: keep-removed\r\n\r\n";
constexpr std::string_view offer =
    "update 1\r\ntype: request\r\ncall_id: c1\r\ncseq: 1\r\nfrom_uri: a@x\r\nto_uri: b@x\r\n"
    "from_tag: f\r\nmedia: audio:127.0.0.1:5000:sendrecv\r\n\r\n";

} // namespace

TEST_CASE("a report reaches a dispatcher that DNS moved elsewhere and back while it was down")
{
    House house;
    house.move_to({house.first});
    house.start();
    REQUIRE(house.dispatcher.wait_connection(1));
    house.dispatcher.say(std::string(hello) + std::string(offer));
    REQUIRE(house.dispatcher.wait_line("1 "));
    house.dispatcher.leave();
    house.move_to({house.second}); // where nobody is
    REQUIRE(house.wait_dropped(house.first));
    house.move_to({house.first});
    REQUIRE(house.wait_dropped(house.second));

    INFO("the call ends now, and nobody is there");
    house.stop();
    house.dispatcher.come_back();
    house.start();
    REQUIRE(house.dispatcher.wait_connection(2));
    house.dispatcher.say(hello);
    const auto told = house.dispatcher.wait_line("expired ");
    REQUIRE(told);
    CHECK(told->find("\"call_id\": \"c1\"") != std::string::npos);
}

TEST_CASE("a dispatcher that DNS adds is connected, one that it drops leaves with its sessions")
{
    House house;
    const net::Address there = test::own_loopback(9);
    test::ScriptedDispatcher other(
        house.io, {asio::ip::make_address(there.to_string()), house.dispatcher.endpoint().port});
    house.serve({"one.example"});
    house.names.addresses["one.example"] = {house.first};
    house.names.addresses["two.example"] = {there};
    house.start();
    REQUIRE(house.dispatcher.wait_connection(1));
    house.dispatcher.say(std::string(hello) + std::string(offer));
    REQUIRE(house.dispatcher.wait_line("1 "));

    house.names.addresses["three.example"] = {house.third}; // where nobody is
    house.serve({"one.example", "two.example", "three.example"});
    REQUIRE(other.wait_connection(1));
    REQUIRE(test::run_until(house.io, [&] { return house.has_added(house.third); }));
    CHECK(house.dispatcher.has_peer());

    house.serve({"two.example"});
    REQUIRE(house.wait_dropped(house.third));
    INFO("the first one has a session");
    CHECK_FALSE(house.has_dropped(house.first));
    house.dispatcher.say("summary 2\r\n\r\n");
    REQUIRE(house.dispatcher.wait_line("2 "));
    house.dispatcher.say("remove 3\r\ncall_id: c1\r\nfrom_tag: f\r\n\r\n");
    REQUIRE(house.dispatcher.wait_line("3 "));
    REQUIRE(house.wait_dropped(house.first));
    CHECK(test::run_until(house.io, [&] { return house.dispatcher.closed; }));
    CHECK(other.has_peer());
    CHECK(other.connections == 1);
}
