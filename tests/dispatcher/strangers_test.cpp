// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <vector>

#include "fakes/captured_log.hpp"
#include "scripted_relay.hpp"
#include "tls/certificates.hpp"
#include "tls/link_pair.hpp"

using namespace mediaproxy;

namespace
{

net::Port relay_port(Stage& stage)
{
    return stage.dispatcher->relay_endpoints().at(0).port;
}

/// A relay that has a certificate.
struct SecureRelay : RecordingOwner {
    SecureRelay(Stage& on, const Certificates& certificates) : stage(on)
    {
        asio::ip::tcp::socket socket(stage.io);
        socket.connect({asio::ip::address_v4::loopback(), relay_port(stage)});
        link = tls::Link::start(std::move(socket), tls::Link::Side::client,
                                certificates.context("relay"), {}, *this);
    }
    bool hears(const std::string& text)
    {
        return stage.run_until([&] { return received == text || closed; }) && received == text;
    }

    Stage& stage;
    std::shared_ptr<tls::Link> link;
};

/// More connections that say nothing than there is room for.
std::vector<Client> silent_strangers(Stage& stage)
{
    std::vector<Client> strangers;
    for (int i = 0; i < 300; ++i) {
        strangers.push_back(Client::to_port(stage.io, relay_port(stage)));
        stage.io.poll();
    }
    return strangers;
}

} // namespace

TEST_CASE("strangers without a certificate lock no relay out")
{
    const fakes::CapturedLog log;
    const Certificates certificates;
    Stage stage(Stage::quick(), certificates.context("dispatcher"));
    SecureRelay early(stage, certificates); // that needs a moment for its list
    REQUIRE(early.hears("sessions 0\r\n\r\n"));
    std::vector<Client> strangers = silent_strangers(stage);
    SecureRelay late(stage, certificates);
    CHECK(late.hears("sessions 0\r\n\r\n"));
    CHECK(strangers.front().closed());
    CHECK_FALSE(early.closed);
    early.link->write("0 []\r\n");
    CHECK(stage.run_until([&] { return stage.dispatcher->status() == "1 relays, 0 sessions"; }));
    CHECK(log.count("have not said who they are") == 20);
}

TEST_CASE("without TLS, too, a relay finds its place among those who say nothing")
{
    Stage stage;
    std::vector<Client> strangers = silent_strangers(stage);
    const Relay relay = Relay::old(stage);
    CHECK(stage.dispatcher->status() == "1 relays, 0 sessions");
    CHECK(strangers.front().closed());
}

TEST_CASE("strangers that fail do not fill the log")
{
    const fakes::CapturedLog log;
    const Certificates certificates;
    Stage stage(Stage::quick(), certificates.context("dispatcher"));
    for (int i = 0; i < 100; ++i) {
        Client stranger = Client::to_port(stage.io, relay_port(stage));
        stranger.send("GET / HTTP/1.0\r\n\r\n");
        CHECK(stranger.closed());
    }
    CHECK(log.count("relay listener: ") == 20);
    Client::to_port(stage.io, relay_port(stage)).close(); // is something else, which is told
    CHECK(stage.run_until([&] { return log.count("closed by the peer") == 1; }));
}
