// SPDX-License-Identifier: GPL-2.0-or-later
// What escapes a handler ends that handler; whoever called it goes on.
#include <catch2/catch.hpp>
#include <new>

#include "dispatcher/deadline_queue.hpp"
#include "dispatcher/proxy_server.hpp"
#include "dispatcher/tcp_listener.hpp"
#include "dispatcher/unix_acceptor.hpp"
#include "fakes/captured_log.hpp"
#include "stage.hpp"

using namespace mediaproxy;
using namespace mediaproxy::dispatcher;

namespace
{

/// As the daemon's loop: on it goes. How much escaped, -1 when it is never done.
template <class Done>
int escaped_until(asio::io_context& io, Done done)
{
    for (int escaped = 0;; ++escaped) {
        try {
            return run_until(io, done) ? escaped : -1;
        } catch (const std::bad_alloc&) {
            continue;
        }
    }
}

} // namespace

TEST_CASE("a request that runs out of memory costs its connection and no other")
{
    struct Handler : ProxyHandler {
        void on_request(const protocol::Request& request, Ticket ticket) override
        {
            if (request.command == "update")
                throw std::bad_alloc();
            server->answer(ticket, "removed");
        }
        void on_late(Ticket, std::uint64_t) override {}
        ProxyServer* server = nullptr;
    } handler;
    const fakes::CapturedLog log;
    asio::io_context io(1);
    const TemporaryFolder folder;
    const std::string path = folder.path + "/sock";
    auto listener = UnixListener::open(path, {"", "", 0600});
    REQUIRE(listener);
    ProxyServer server(io, std::move(*listener), Milliseconds{300}, handler);
    handler.server = &server;
    REQUIRE(server.open());
    server.start();
    Client before = Client::to_path(io, path), unlucky = Client::to_path(io, path);
    CHECK(before.send(remove_text()).line() == "removed");
    CHECK(unlucky.send(remove_text()).line() == "removed");
    unlucky.send(remove_text() + Message{}.text() + remove_text());
    CHECK(unlucky.closed());
    CHECK(before.send(remove_text()).line() == "removed");
    CHECK(Client::to_path(io, path).send(remove_text()).line() == "removed");
    CHECK(server.open_requests() == 0);
    CHECK(log.count("control socket: an exception escaped") == 1);
}

TEST_CASE("a connection that nobody can take is not the last one")
{
    asio::io_context io(1);
    int accepted = 0;
    const auto take = [&](auto) {
        if (++accepted == 1)
            throw std::bad_alloc();
    };
    SECTION("TCP")
    {
        auto listener =
            TcpListener::open(io, "test", {{net::Address::v4({127, 0, 0, 1}), 0}}, take);
        REQUIRE(listener);
        (*listener)->start();
        const net::Port port = (*listener)->endpoints().at(0).port;
        const Client one = Client::to_port(io, port), two = Client::to_port(io, port);
        const int escaped = escaped_until(io, [&] { return accepted == 2; });
        CHECK(escaped == 1);
    }
    SECTION("UNIX")
    {
        const TemporaryFolder folder;
        auto listener = UnixListener::open(folder.path + "/sock", {"", "", 0600});
        REQUIRE(listener);
        UnixAcceptor acceptor(io, "test", std::move(*listener), take);
        acceptor.start();
        const Client one = Client::to_path(io, folder.path + "/sock");
        const Client two = Client::to_path(io, folder.path + "/sock");
        const int escaped = escaped_until(io, [&] { return accepted == 2; });
        CHECK(escaped == 1);
    }
}

TEST_CASE("one deadline that fails is not the last one")
{
    asio::io_context io(1);
    int seen = 0;
    DeadlineQueue<int> deadlines(io, Milliseconds{1}, [&](const int& item) {
        seen = item;
        if (item == 1)
            throw std::bad_alloc();
    });
    deadlines.add(1);
    deadlines.add(2);
    const int escaped = escaped_until(io, [&] { return seen == 2; });
    CHECK(escaped == 1);
}

TEST_CASE("chores are done again after they have failed")
{
    struct Unlucky : FakePeer {
        using FakePeer::FakePeer;
        void sessions(ReportsHandler done) override
        {
            if (++lists == 2)
                throw std::bad_alloc();
            done(invalid("half a list"));
        }
    };
    auto options = Stage::quick();
    options.cleanup_expired_sessions_after = Seconds{1}; // chores four times a second
    Stage stage(options);
    Unlucky unlucky("a");
    FakePeer other("b");
    other.list_error = invalid("half a list");
    stage.dispatcher->attach(unlucky);
    stage.dispatcher->attach(other);
    const int escaped =
        escaped_until(stage.io, [&] { return unlucky.lists == 2 && other.lists >= 4; });
    CHECK(escaped == 1);
}
