// SPDX-License-Identifier: GPL-2.0-or-later
#include <asio/write.hpp>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fcntl.h>

#include "tls/certificate.hpp"
#include "tls/certificates.hpp"
#include "tls/link.hpp"
#include "tls/link_pair.hpp"

using namespace mediaproxy;
using tls::Link;

namespace
{

std::string refusal_of_client(std::shared_ptr<tls::Context> client_context,
                              std::shared_ptr<tls::Context> server_context,
                              const char* server_passport = "None")
{
    SocketPair sockets;
    RecordingOwner client_owner, server_owner;
    const auto client = Link::start(std::move(sockets.client), Link::Side::client,
                                    std::move(client_context), {}, client_owner);
    const auto server =
        Link::start(std::move(sockets.server), Link::Side::server, std::move(server_context),
                    *tls::Passport::parse(server_passport), server_owner);
    REQUIRE(sockets.run_until(
        [&] { return server_owner.closed.has_value() && client_owner.closed.has_value(); }));
    CHECK_FALSE(server_owner.opened);
    CHECK(server_owner.closed->code == Error::Code::denied);
    return server_owner.closed->message;
}

std::string refusal_of_server(std::shared_ptr<tls::Context> client_context,
                              std::shared_ptr<tls::Context> server_context,
                              const char* client_passport = "None")
{
    SocketPair sockets;
    RecordingOwner client_owner, server_owner;
    const auto client =
        Link::start(std::move(sockets.client), Link::Side::client, std::move(client_context),
                    *tls::Passport::parse(client_passport), client_owner);
    const auto server = Link::start(std::move(sockets.server), Link::Side::server,
                                    std::move(server_context), {}, server_owner);
    REQUIRE(sockets.run_until(
        [&] { return server_owner.closed.has_value() && client_owner.closed.has_value(); }));
    CHECK_FALSE(client_owner.opened);
    CHECK(client_owner.closed->code == Error::Code::denied);
    return client_owner.closed->message;
}

} // namespace

TEST_CASE("a peer with a bad certificate is refused with the reason, on either side")
{
    const Certificates certificates;
    certificates.make("--days -1 --cert expired");
    certificates.make("--cert stolen");
    certificates.make("--revoke stolen --self-signed rogue");
    struct Case {
        const char* name;
        const char* reason;
    };
    const Case cases[] = {{"expired", "certificate has expired"},
                          {"stolen", "certificate revoked"},
                          {"rogue", "self-signed certificate"}};
    for (const Case& c : cases) {
        INFO(c.name);
        CHECK_THAT(refusal_of_client(certificates.context(c.name), certificates.context("relay")),
                   Catch::Contains(c.reason));
        CHECK_THAT(refusal_of_server(certificates.context("relay"), certificates.context(c.name)),
                   Catch::Contains(c.reason));
    }
}

TEST_CASE("a CRL of a clock that is ahead, or that is out of date, revokes what it names and "
          "nothing else")
{
    const Certificates certificates;
    certificates.make("--cert stolen");
    certificates.make("--revoke stolen");
    const char* times = GENERATE("-crl_lastupdate 20990101000000Z -crl_nextupdate 20990201000000Z",
                                 "-crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z");
    REQUIRE(std::system(("cd " + certificates.folder() +
                         " && openssl ca -config ca/openssl.cnf -gencrl " + times + " -out crl.pem")
                            .c_str()) == 0);
    const auto dispatcher = certificates.context("dispatcher", Seconds{1});
    CHECK_THAT(refusal_of_client(certificates.context("stolen"), dispatcher),
               Catch::Contains("certificate revoked"));

    SocketPair sockets;
    RecordingOwner client_owner, server_owner;
    const auto client = Link::start(std::move(sockets.client), Link::Side::client,
                                    certificates.context("relay"), {}, client_owner);
    const auto server =
        Link::start(std::move(sockets.server), Link::Side::server, dispatcher, {}, server_owner);
    REQUIRE(sockets.run_until([&] {
        return (client_owner.opened && server_owner.opened) || client_owner.closed ||
               server_owner.closed;
    }));
    CHECK_FALSE(server_owner.closed);
    CHECK_FALSE(client_owner.closed);
}

TEST_CASE("a peer of another CA is refused")
{
    const Certificates ours, theirs;
    CHECK_THAT(refusal_of_client(theirs.context("relay"), ours.context("dispatcher")),
               Catch::Contains("unknown ca"));
}

TEST_CASE("a peer that does not fit the passport is refused, on either side")
{
    const Certificates certificates;
    const auto relay = certificates.context("relay");
    const auto dispatcher = certificates.context("dispatcher");
    CHECK_THAT(refusal_of_client(relay, dispatcher, "CN:other"),
               Catch::Contains("passport: CN is \"relay\""));
    CHECK_THAT(refusal_of_server(relay, dispatcher, "O:other"),
               Catch::Contains("passport: O is \"mediaproxyd\""));
}

TEST_CASE("a peer without a certificate is refused")
{
    const Certificates certificates;
    SocketPair sockets;
    RecordingOwner owner;
    const auto server = Link::start(std::move(sockets.server), Link::Side::server,
                                    certificates.context("dispatcher"), {}, owner);
    const std::unique_ptr<SSL_CTX, tls::Free<SSL_CTX_free>> ctx(SSL_CTX_new(TLS_method()));
    const std::unique_ptr<SSL, tls::Free<SSL_free>> ssl(SSL_new(ctx.get()));
    ::fcntl(sockets.client.native_handle(), F_SETFL, O_NONBLOCK);
    SSL_set_fd(ssl.get(), sockets.client.native_handle());
    REQUIRE(sockets.run_until([&] {
        SSL_connect(ssl.get());
        sockets.io.poll();
        return owner.closed.has_value();
    }));
    CHECK_THAT(owner.closed->message, Catch::Contains("peer did not return a certificate"));
}

TEST_CASE("a peer that speaks no TLS to a TLS port is refused")
{
    const Certificates certificates;
    SocketPair sockets;
    RecordingOwner owner;
    const auto server = Link::start(std::move(sockets.server), Link::Side::server,
                                    certificates.context("dispatcher"), {}, owner);
    asio::write(sockets.client, asio::buffer(std::string_view("sessions\r\n")));
    REQUIRE(sockets.run_until([&] { return owner.closed.has_value(); }));
    CHECK_FALSE(owner.opened);
    CHECK_THAT(owner.closed->message, Catch::Contains("TLS: "));
}

TEST_CASE("half a handshake ends at its deadline")
{
    const Certificates certificates;
    SocketPair sockets;
    RecordingOwner owner;
    const auto server = Link::start(std::move(sockets.server), Link::Side::server,
                                    certificates.context("dispatcher"), {}, owner, Seconds{1});
    asio::write(sockets.client, asio::buffer(std::string_view("\x16\x03\x01\x02", 4)));
    REQUIRE(sockets.run_until([&] { return owner.closed.has_value(); }));
    CHECK(owner.closed->code == Error::Code::unavailable);
    CHECK_THAT(owner.closed->message, Catch::Contains("in time"));
}

TEST_CASE("a peer that is revoked while it is connected is dropped at the next verification")
{
    const Certificates certificates;
    certificates.make("--cert stolen");
    SocketPair sockets;
    RecordingOwner client_owner, server_owner;
    const auto client = Link::start(std::move(sockets.client), Link::Side::client,
                                    certificates.context("stolen"), {}, client_owner);
    const auto server =
        Link::start(std::move(sockets.server), Link::Side::server,
                    certificates.context("dispatcher", Seconds{1}), {}, server_owner);
    REQUIRE(sockets.run_until([&] { return client_owner.opened && server_owner.opened; }));
    certificates.make("--revoke stolen");
    REQUIRE(sockets.run_until([&] { return server_owner.closed.has_value(); }));
    CHECK_THAT(server_owner.closed->message, Catch::Contains("stolen: certificate revoked"));
    REQUIRE(sockets.run_until([&] { return client_owner.closed.has_value(); }));
}
