// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls/link.hpp"

#include <catch2/catch.hpp>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "tls/certificates.hpp"
#include "tls/link_pair.hpp"

using namespace mediaproxy;
using tls::Link;

namespace
{

/// Exchanges greetings and 1 MiB both ways, then the client closes.
void converse(std::shared_ptr<tls::Context> client_context,
              std::shared_ptr<tls::Context> server_context)
{
    SocketPair sockets;
    RecordingOwner client_owner, server_owner;
    const auto client = Link::start(std::move(sockets.client), Link::Side::client,
                                    std::move(client_context), {}, client_owner);
    const auto server = Link::start(std::move(sockets.server), Link::Side::server,
                                    std::move(server_context), {}, server_owner);
    client->write("early "); // leaves when the handshake is done
    REQUIRE(sockets.run_until([&] { return client_owner.opened && server_owner.opened; }));
    client->write("hello ");
    client->write("there");
    server->write("welcome");
    REQUIRE(sockets.run_until([&] {
        return client_owner.received == "welcome" && server_owner.received == "early hello there";
    }));

    const std::string big(1 << 20, 'x');
    client->write(big);
    server->write(big);
    REQUIRE(sockets.run_until([&] {
        return client_owner.received.size() == big.size() + 7 &&
               server_owner.received.size() == big.size() + 17;
    }));
    CHECK(client->backlog() == 0);
    CHECK(client->remote() == server->local());

    client->write("bye");
    client->close();
    REQUIRE(sockets.run_until([&] { return server_owner.closed.has_value(); }));
    CHECK(server_owner.received.ends_with("xbye"));
    CHECK(server_owner.closed->code == Error::Code::unavailable);
    CHECK_THAT(server_owner.closed->message, Catch::EndsWith("closed by the peer"));
    CHECK_FALSE(client_owner.closed);
}

} // namespace

TEST_CASE("a plain link carries bytes both ways and ends when one side closes")
{
    converse(nullptr, nullptr);
}

TEST_CASE("a TLS link carries bytes both ways and ends when one side closes")
{
    const Certificates certificates;
    converse(certificates.context("relay"), certificates.context("dispatcher"));
}

TEST_CASE("a TLS link knows protocol and peer, and passports that fit let it open")
{
    const Certificates certificates;
    SocketPair sockets;
    RecordingOwner client_owner, server_owner;
    const auto client =
        Link::start(std::move(sockets.client), Link::Side::client, certificates.context("relay"),
                    *tls::Passport::parse("CN:disp*"), client_owner);
    const auto server = Link::start(std::move(sockets.server), Link::Side::server,
                                    certificates.context("dispatcher"),
                                    *tls::Passport::parse("O:mediaproxyd, CN:relay"), server_owner);
    REQUIRE(sockets.run_until([&] { return client_owner.opened && server_owner.opened; }));
    CHECK(client->peer_name() == "dispatcher");
    CHECK(server->peer_name() == "relay");
    CHECK_THAT(server->protocol(), Catch::StartsWith("TLSv1.3 "));
}

TEST_CASE("neither side of a link waits to fill a segment")
{
    SocketPair sockets;
    RecordingOwner client_owner, server_owner;
    const auto delays = [](int fd) {
        int no_delay = 0;
        socklen_t size = sizeof no_delay;
        REQUIRE(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size) == 0);
        return no_delay == 0;
    };
    const int client_fd = sockets.client.native_handle();
    const int server_fd = sockets.server.native_handle();
    REQUIRE((delays(client_fd) && delays(server_fd)));
    const auto client =
        Link::start(std::move(sockets.client), Link::Side::client, nullptr, {}, client_owner);
    const auto server =
        Link::start(std::move(sockets.server), Link::Side::server, nullptr, {}, server_owner);
    REQUIRE(sockets.run_until([&] { return client_owner.opened && server_owner.opened; }));
    CHECK_FALSE(delays(client_fd));
    CHECK_FALSE(delays(server_fd));
}

TEST_CASE("what a slow peer does not take waits in the backlog and arrives in order")
{
    SocketPair sockets;
    RecordingOwner owner;
    const auto link =
        Link::start(std::move(sockets.client), Link::Side::client, nullptr, {}, owner);
    REQUIRE(sockets.run_until([&] { return owner.opened; }));
    std::string sent;
    for (char c = 'a'; link->backlog() < 1 << 20; c = c == 'z' ? 'a' : static_cast<char>(c + 1)) {
        const std::string piece(100000, c);
        link->write(piece);
        link->flush();
        sent += piece;
    }
    std::string received;
    std::array<char, 65536> buffer;
    sockets.server.non_blocking(true);
    while (received.size() < sent.size()) {
        std::error_code error;
        received.append(buffer.data(), sockets.server.read_some(asio::buffer(buffer), error));
        REQUIRE((!error || error == asio::error::would_block));
        sockets.io.poll();
    }
    CHECK(received == sent);
}

TEST_CASE("what the peer's host has is known, though more is on its way")
{
    SocketPair sockets;
    RecordingOwner owner;
    const auto link =
        Link::start(std::move(sockets.client), Link::Side::client, nullptr, {}, owner);
    REQUIRE(sockets.run_until([&] { return owner.opened; }));
    CHECK(link->bytes_sent() == 0);
    link->write("report");
    link->flush();
    CHECK(link->bytes_sent() == 6);
    REQUIRE(sockets.run_until([&] { return link->bytes_arrived() == 6; }));
    while (link->backlog() == 0) {
        link->write(std::string(100000, 'x'));
        link->flush();
    }
    CHECK(link->bytes_arrived() >= 6);
    CHECK(link->bytes_arrived() < link->bytes_sent());
    sockets.server.close();
    REQUIRE(sockets.run_until([&] { return owner.closed.has_value(); }));
    CHECK(link->bytes_arrived() == 0);
}

TEST_CASE("an owner may close and drop its link from inside a call")
{
    const Certificates certificates;
    SocketPair sockets;
    RecordingOwner client_owner, server_owner;
    auto client = Link::start(std::move(sockets.client), Link::Side::client,
                              certificates.context("relay"), {}, client_owner);
    auto server = Link::start(std::move(sockets.server), Link::Side::server,
                              certificates.context("dispatcher"), {}, server_owner);
    server_owner.received_some = [&] {
        server->close();
        server.reset();
    };
    client->write("anything");
    REQUIRE(sockets.run_until([&] { return client_owner.closed.has_value(); }));
    CHECK_FALSE(server_owner.closed);
}
